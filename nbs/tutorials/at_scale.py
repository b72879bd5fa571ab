"""What a gallery of made-up vectors costs, in processor time and memory of a process of its own.

    python at_scale.py PLACE FILES OUT [GROUP]

PLACE is a gallery folder or a URI, FILES a folder of small files that stand for pictures, OUT the
JSON file with the figures and hits, GROUP the process group of a server whose time and memory count.
"""
import json, sys, time
from pathlib import Path
import numpy as np, torch
from dino_retrieval.files import is_uri
from dino_retrieval.model import Embedder
from dino_retrieval.retrieve import InFolder
from dino_retrieval.scale import InCollection
from dino_retrieval.store import _files_now
sys.path.append(str(Path(__file__).parents[1]/'tests'))
from milvus_server import memory_of, seconds_of

DIM, QUERIES, SINGLY = 768, 100, 10

class MadeUp:
    "What embeds nothing: a vector for each picture, drawn at random."
    provenance = dict(fingerprint='made up', dim=DIM, tta=[])
    def __init__(self, model): self.model = model
    def save(self, folder, new): pass
    def look(self, paths, old): return _files_now(paths, old)
    def batches(self, paths):
        for a in range(0, len(paths), 1000):
            some = paths[a:a + 1000]
            yield drawn(len(some), seed=a), [None]*len(some)

def drawn(n, seed):
    "Vectors (n,d) of length 1."
    x = np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)
    return x/np.linalg.norm(x, axis=1, keepdims=True)

def measured(f, group):
    "Seconds of this process and of a server's in a call, and what it gives."
    before = time.process_time(), seconds_of(group)
    found = f()
    return time.process_time() - before[0], seconds_of(group) - before[1], found

def resident():
    "Bytes that this process holds, without files that are mapped."
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith('RssAnon:'): return 1024*int(line.split()[1])

def main(place, files, out, group=0):
    torch.set_num_threads(1)
    group = int(group)
    maker = MadeUp(Embedder.from_pretrained('tiny', trainable_layers=()))
    wanted = {str(path): '' for path in sorted(Path(files).iterdir())}
    held = InCollection(place) if is_uri(place) else InFolder(place)
    e = drawn(QUERIES, seed=10**6)
    start = resident()
    rows = dict(
        write=measured(lambda: held.update(wanted, maker), group)[:2],
        again=measured(lambda: held.update(wanted, maker), group)[:2])
    assert held.changes['kept'] == len(wanted), held.changes
    held.search(e[:2], 10)
    *batch, (scores, at) = measured(lambda: held.search(e, 10), group)
    singly = measured(lambda: [held.search(e[i:i + 1], 10) for i in range(SINGLY)], group)
    rows |= dict(batch=[t/QUERIES for t in batch], single=[t/SINGLY for t in singly[:2]])
    hits = [[str(held.paths[i]) for i in row] for row in at]
    memory = resident() - start, memory_of(group)
    Path(out).write_text(json.dumps(dict(rows, memory=memory, hits=hits, scores=scores.tolist())))

if __name__ == '__main__': main(*sys.argv[1:])
