"""One list of modules: what `_quarto.yml` lists is what there is, and what README and `all.py` name.

Usage: python .ci/rooms.py     (rewrites dino_retrieval/all.py and the list in nbs/index.ipynb)
Checks too that the modules' imports make no circle, and that those on plain arrays import no model.
"""
import ast, graphlib, json, re, sys
from pathlib import Path
import yaml

ROOT = Path(__file__).parent.parent
NAMES = """
    Audit audit
    EvalView PKSampler TrainView TripletDataset
    TokenCache
    BadImage ImageSet demo_data load_image open_data show_images
    embed
    Report by_prefix compare evaluate revisited
    InputError
    leave_one_out
    batch_triplet_loss triplet_loss
    accuracy_at_k ap_at_k ap_trapezoid map_at_r micro_ap ndcg_at_k open_set precision_at_k
    r_precision recall_at_k reciprocal_rank
    Embedder
    html_report
    expand k_reciprocal learned_whitening whiten whitening
    Gallery Results
    topk
    History
    fit
""".split()                     # what most work needs; everything else lives in its module
ON_ARRAYS = ('losses', 'metrics', 'rerank', 'search')   # no transformers, no model, whatever they import
HEAD = '''"The names that most work needs, in one import: `from dino_retrieval.all import *`."
# Written by .ci/rooms.py: add a name there.
'''
TAIL = "\n__all__ = [name for name in dir() if name[0] != '_']\n"

def listed():
    "Notebooks in the order of the site's menu, by section."
    menu = yaml.safe_load((ROOT/'_quarto.yml').read_text(encoding='utf-8'))
    sections = menu['website']['sidebar']['contents']
    return {s['section']: s['contents'] for s in sections if 'section' in s}

def check_menu(sections):
    on_disk = {p.relative_to(ROOT/'nbs').as_posix() for p in (ROOT/'nbs').rglob('*.ipynb')
               if '.ipynb_checkpoints' not in p.parts and p.parent.name != 'tests'}
    in_menu = {name for names in sections.values() for name in names} | {'index.ipynb'}
    if on_disk != in_menu: sys.exit(f'_quarto.yml lists other notebooks: {sorted(on_disk ^ in_menu)}')

def head_of(notebook):
    "A notebook's title, its subtitle and the module that it exports to."
    cells = json.loads((ROOT/'nbs'/notebook).read_text(encoding='utf-8'))['cells']
    text = '\n'.join(''.join(cell['source']) for cell in cells)
    title, subtitle = ''.join(cells[0]['source']).split('\n\n> ')
    module = re.search(r'^#\| default_exp (\w+)', text, flags=re.M)
    return title.removeprefix('# '), subtitle.strip(), module[1]

def tree_of(module):
    return ast.parse((ROOT/f'dino_retrieval/{module}.py').read_text(encoding='utf-8'))

def exported_by(module):
    "The public names of a module, read without importing it."
    for node in tree_of(module).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == '__all__':
            return ast.literal_eval(node.value)

def imports_of(module):
    "Modules that a module imports at its start, ours without the package's name."
    found = set()
    for node in tree_of(module).body:
        if isinstance(node, ast.Import): found |= {alias.name.split('.')[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            name = '.' * node.level + (node.module or '')
            found.add(name.removeprefix('dino_retrieval.').lstrip('.').split('.')[0])
    return found

def check_imports(modules):
    "No circle, and no model below what works on plain arrays."
    imports = {module: imports_of(module) for module in modules}
    try: list(graphlib.TopologicalSorter(imports).static_order())
    except graphlib.CycleError as e: sys.exit(f'modules import each other: {" -> ".join(e.args[1])}')
    for module in ON_ARRAYS:
        below, todo = set(), [module]
        while todo:
            name = todo.pop()
            if name in below: continue
            below.add(name)
            todo += imports.get(name, ())
        if wrong := below & {'transformers', 'model'}: sys.exit(f'{module} imports {wrong}')

def write_all(modules):
    home = {name: module for module in modules for name in exported_by(module)}
    if missing := [name for name in NAMES if name not in home]:
        sys.exit(f'.ci/rooms.py names what no module exports: {missing}')
    lines = []
    for module in sorted(modules):
        names = sorted(name for name in NAMES if home[name] == module)
        if not names: continue
        line = f'from dino_retrieval.{module} import {", ".join(names)}'
        if len(line) > 90: line = line.replace('import ', 'import (\n    ').replace(', ', ',\n    ') + ')'
        lines.append(line)
    (ROOT/'dino_retrieval/all.py').write_text(HEAD + '\n'.join(lines) + '\n' + TAIL, encoding='utf-8')

def write_list(notebooks):
    "The table between two marks in nbs/index.ipynb, from the notebooks' own first cells."
    rows = ['| module | what it is for |', '|---|---|']
    for notebook in notebooks:
        title, subtitle, module = head_of(notebook)
        rows.append(f'| [`{module}`](nbs/{notebook}) {title} | {subtitle} |')
    path = ROOT/'nbs/index.ipynb'
    index = json.loads(path.read_text(encoding='utf-8'))
    marks = re.compile('(<!-- modules -->\n).*(\n<!-- end -->)', flags=re.S)
    cell, = [c for c in index['cells'] if '<!-- modules -->' in ''.join(c['source'])]
    text = marks.sub(lambda m: m[1] + '\n'.join(rows) + m[2], ''.join(cell['source']))
    cell['source'] = text.splitlines(keepends=True)
    path.write_text(json.dumps(index, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')

def main():
    sections = listed()
    check_menu(sections)
    notebooks = sections['Modules']
    modules = [head_of(notebook)[2] for notebook in notebooks]
    check_imports(modules)
    write_all(modules)
    write_list(notebooks)

main()
