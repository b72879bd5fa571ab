"""Check that every notebook is executed, small, repeatable and readable; print what is not.

Usage: python .ci/notebooks.py [NOTEBOOK ...]
"""
import ast, json, re, sys
from pathlib import Path
from measures import (
    ROOT, cells_of, count, flags_of, kind_of, longest_unseen, parsed, source_of)

MOST_BYTES = 500_000
MOST_UNSEEN = 60            # exported lines in a row with no shown cell
WIDEST_EXPORTED, WIDEST_SHOWN = 90, 100
NOT_REPEATABLE = re.compile(r'/(tmp|home|root|work)/|0x[0-9a-f]{6}|widget-view')

def check_title(cells):
    "The site drops what the first cell holds beside the title, its subtitle and its settings."
    if cells[0]['cell_type'] != 'markdown': return
    for line in source_of(cells[0]).split('\n'):
        if line and not line.startswith(('# ', '> ', '- ')):
            yield f'the first cell holds more than a title: {line[:60]}'

def check_lines(cell):
    "A page shows about ninety characters beside its menu; `#|` lines are not shown."
    widest = {'exported': WIDEST_EXPORTED, 'shown': WIDEST_SHOWN}.get(kind_of(cell))
    for line in source_of(cell).split('\n'):
        if widest and len(line) > widest and not line.startswith('#|'):
            yield f'{len(line)} characters in a line: {line}'

def check_imports(cell):
    "The site's build runs every cell that imports: there it would find no fixtures."
    if kind_of(cell) == 'exported' or 'nbdev_export()' in source_of(cell): return
    tree = parsed(source_of(cell))
    harmless = ast.Import, ast.ImportFrom, ast.Try, ast.FunctionDef, ast.ClassDef
    runs = [node for node in tree.body
            if not isinstance(node, harmless) or getattr(node, 'orelse', None)]
    if runs and count(tree, ast.Import, ast.ImportFrom):
        yield f'imports beside other code: give them a cell of their own: {source_of(cell)[:80]!r}'

def check_outputs(cell):
    has_figure = any('image/png' in output.get('data', {}) for output in cell['outputs'])
    if has_figure and kind_of(cell) == 'shown' and 'fig-alt' not in flags_of(cell):
        yield f'a figure without `#| fig-alt:`: {source_of(cell)[:80]!r}'
    for output in cell['outputs']:
        said = json.dumps(output)
        if output['output_type'] == 'error' or NOT_REPEATABLE.search(said):
            yield f'an output that cannot be repeated: {said[:200]}'

def check_notebook(path):
    size = path.stat().st_size
    if size > MOST_BYTES: yield f'{size:,} bytes, and the most is {MOST_BYTES:,}'
    cells = cells_of(path)
    yield from check_title(cells)
    code = [cell for cell in cells if cell['cell_type'] == 'code']
    for cell in code:
        if path.parent.name != 'tests': yield from check_lines(cell)        # no pages of the site
        if path.name[0].isdigit(): yield from check_imports(cell)
        yield from check_outputs(cell)
    shown = [cell for cell in code if kind_of(cell) == 'shown']
    if shown and not any(cell['outputs'] for cell in shown):
        yield 'no output: execute it before you commit it'
    unseen = longest_unseen(cells)
    if unseen > MOST_UNSEEN:
        yield f'{unseen} exported lines with nothing shown between, and the most is {MOST_UNSEEN}'

def main(paths):
    paths = [Path(p) for p in paths] or sorted((ROOT/'nbs').rglob('*.ipynb'))
    paths = [p for p in paths if '.ipynb_checkpoints' not in p.parts]
    found = [f'{path.name}: {fault}' for path in paths for fault in check_notebook(path)]
    sys.exit('\n'.join(found) or 0)

main(sys.argv[1:])
