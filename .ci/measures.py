"""Measure how readable the notebooks are: density, comprehensions, shown cells, assertions.

Usage: python .ci/measures.py [NOTEBOOK ...]
A shown cell is one without `#| export` and `#| hide`; exported lines are those of `#| export` cells.
"""
import ast, json, re, statistics, sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

def source_of(cell): return ''.join(cell['source'])

def cells_of(path): return json.loads(path.read_text(encoding='utf-8'))['cells']

def lines_of(source):
    "Lines of code: no blank ones, no comments."
    lines = [line.strip() for line in source.split('\n')]
    return [line for line in lines if line and not line.startswith('#')]

def parsed(source):
    try: return ast.parse(source)
    except SyntaxError: return ast.parse('')          # a magic

def flags_of(cell): return re.findall(r'^#\|\s*([\w-]+)', source_of(cell), flags=re.M)

def kind_of(cell):
    flags = flags_of(cell)
    if 'export' in flags or 'exports' in flags: return 'exported'
    if 'hide' in flags or 'default_exp' in flags: return 'hidden'
    return 'shown'

def count(tree, *kinds): return sum(isinstance(node, kinds) for node in ast.walk(tree))

def named_lambdas(tree):
    assignments = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    return sum(isinstance(node.value, ast.Lambda) for node in assignments)

def assertions(tree):
    "assert statements, and calls of fastcore's tests."
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    tests = sum(c.func.id.startswith('test_') or c.func.id == 'expect_fail' for c in calls)
    return count(tree, ast.Assert) + tests

def longest_unseen(cells):
    "Most exported lines in a row with no shown cell between."
    most = run = 0
    for cell in cells:
        if cell['cell_type'] != 'code': continue
        kind = kind_of(cell)
        if kind == 'exported': run += len(lines_of(source_of(cell)))
        elif kind == 'shown': run = 0
        most = max(most, run)
    return most

def measure(path):
    cells = cells_of(path)
    code = [c for c in cells if c['cell_type'] == 'code']
    exported = [source_of(c) for c in code if kind_of(c) == 'exported']
    shown = [c for c in code if kind_of(c) == 'shown']
    tree = parsed('\n'.join(exported))
    lines = max(len(lines_of('\n'.join(exported))), 1)
    lengths = sorted(len(lines_of(source_of(c))) for c in shown) or [0]
    with_output = sum(bool(c['outputs']) for c in shown)
    tests = sum(assertions(parsed(source_of(c))) for c in code)
    return dict(lines=lines, nodes=count(tree, ast.AST)/lines,
                comprehensions=100*count(tree, *COMPREHENSIONS)/lines,
                lambdas=sum(named_lambdas(parsed(source_of(c))) for c in code),
                longest=max((len(lines_of(s)) for s in exported), default=0),
                median=statistics.median(lengths), p90=lengths[int(.9*(len(lengths) - 1))],
                outputs=100*with_output/max(len(shown), 1), unseen=longest_unseen(cells),
                assertions=tests/lines)

HEAD = 'notebook          lines  nodes  compr.  lambdas  longest  shown  90%  outputs  unseen  asserts'
ROW = ('{name:16}{lines:7}{nodes:7.1f}{comprehensions:8.1f}{lambdas:9}{longest:9}{median:7.0f}{p90:5}'
       '{outputs:8.0f}%{unseen:8}{assertions:9.2f}')
AIM = 'aim                      10.5     5.0        0       40      5   12      45%      60     0.25'

def main(paths):
    paths = [Path(p) for p in paths] or sorted((ROOT/'nbs').glob('[0-9]*.ipynb'))
    rows = [dict(measure(p), name=p.stem) for p in paths]
    print(HEAD)
    for row in rows: print(ROW.format(**row))
    lines = sum(r['lines'] for r in rows)
    total = dict(name='all, by lines', lines=lines, lambdas=sum(r['lambdas'] for r in rows))
    for key in ('nodes', 'comprehensions', 'outputs', 'assertions'):
        total[key] = sum(r[key]*r['lines'] for r in rows)/lines
    for key in ('median', 'p90'): total[key] = statistics.median(r[key] for r in rows)
    for key in ('unseen', 'longest'): total[key] = max(r[key] for r in rows)
    total['p90'] = round(total['p90'])
    print(ROW.format(**total))
    print(AIM)

if __name__ == '__main__': main(sys.argv[1:])
