"""Measure how readable the notebooks are: density, comprehensions, shown cells, assertions.

Usage: python .ci/measures.py [NOTEBOOK ...]
A shown cell is one without `#| export` and `#| hide`; exported lines are those of `#| export` cells.
"""
import ast, json, re, statistics, sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

def lines_of(source):
    "Lines of code: no blank ones, no comments."
    return [l for l in source.split('\n') if l.strip() and not l.strip().startswith('#')]

def parsed(source):
    try: return ast.parse(source)
    except SyntaxError: return ast.parse('')          # a magic

def kind_of(cell):
    flags = re.findall(r'^#\|\s*(\w+)', ''.join(cell['source']), flags=re.M)
    if 'export' in flags or 'exports' in flags: return 'exported'
    if 'hide' in flags or 'default_exp' in flags: return 'hidden'
    return 'shown'

def count(tree, *kinds): return sum(isinstance(node, kinds) for node in ast.walk(tree))

def named_lambdas(tree):
    return sum(isinstance(n, ast.Assign) and isinstance(n.value, ast.Lambda) for n in ast.walk(tree))

def assertions(tree):
    "assert statements, and calls of fastcore's tests."
    calls = [n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    tests = sum(c.startswith('test_') or c == 'expect_fail' for c in calls)
    return count(tree, ast.Assert) + tests

def longest_unseen(cells):
    "Most exported lines in a row with no shown cell between."
    most = run = 0
    for cell in cells:
        if cell['cell_type'] != 'code': continue
        kind = kind_of(cell)
        if kind == 'exported': run += len(lines_of(''.join(cell['source'])))
        elif kind == 'shown': run = 0
        most = max(most, run)
    return most

def measure(path):
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    code = [c for c in cells if c['cell_type'] == 'code']
    by_kind = {k: [c for c in code if kind_of(c) == k] for k in ('exported', 'hidden', 'shown')}
    exported = '\n'.join(''.join(c['source']) for c in by_kind['exported'])
    tree = parsed(exported)
    n = max(len(lines_of(exported)), 1)
    shown = sorted(len(lines_of(''.join(c['source']))) for c in by_kind['shown']) or [0]
    tests = sum(assertions(parsed(''.join(c['source']))) for c in code)
    return dict(lines=n, nodes=count(tree, ast.AST)/n, comprehensions=100*count(tree, *COMPREHENSIONS)/n,
                lambdas=named_lambdas(tree), median=statistics.median(shown),
                p90=shown[int(.9*(len(shown) - 1))],
                outputs=100*sum(bool(c['outputs']) for c in by_kind['shown'])/max(len(by_kind['shown']), 1),
                unseen=longest_unseen(cells), assertions=tests/n)

def main(paths):
    paths = [Path(p) for p in paths] or sorted((ROOT/'nbs').glob('[0-9]*.ipynb'))
    print('notebook            lines  nodes  compr.  lambdas  shown  90%  outputs  unseen  asserts')
    form = ('{name:20}{lines:5}{nodes:7.1f}{comprehensions:8.1f}{lambdas:9}{median:7.0f}{p90:5}'
            '{outputs:8.0f}%{unseen:8}{assertions:9.2f}')
    rows = [dict(measure(p), name=p.stem) for p in paths]
    for row in rows: print(form.format(**row))
    total = sum(r['lines'] for r in rows)
    mean = {k: sum(r[k]*r['lines'] for r in rows)/total for k in ('nodes', 'comprehensions', 'outputs', 'assertions')}
    print(form.format(name='all, by lines', lines=total, lambdas=sum(r['lambdas'] for r in rows), **mean,
                      median=statistics.median(r['median'] for r in rows), p90=max(r['p90'] for r in rows),
                      unseen=max(r['unseen'] for r in rows)))
    print('aim                        10.5     5.0        0      5   12      45%      60     0.25')

main(sys.argv[1:])
