"""One list of modules: what `_quarto.yml` lists is what there is, and what README and `all.py` name.

Usage: python .ci/rooms.py
Rewrites dino_retrieval/all.py, nbs/api.qmd, nbs/settings.qmd and the list in nbs/index.ipynb.
Checks too that the modules' imports make no circle, and that those on plain arrays import no model.
"""
import ast, graphlib, json, re, sys, textwrap
from pathlib import Path
import yaml
from dino_retrieval.cli import EXAMPLES, SUBCOMMANDS

ROOT = Path(__file__).parent.parent
NAMES = """
    Audit audit dedup
    EvalView PKSampler TrainView TripletDataset
    TokenCache
    BadImage ImageSet demo_data load_image open_data show_images
    embed
    Report by_prefix compare evaluate revisited
    InputError
    leave_one_out
    NormalizedSoftmax batch_triplet_loss triplet_loss
    accuracy_at_k ap_at_k ap_trapezoid map_at_r micro_ap ndcg_at_k open_set precision_at_k
    r_precision recall_at_k reciprocal_rank
    Embedder
    Explanation explain
    html_report
    expand k_reciprocal learned_whitening whiten whitening
    Gallery Results
    topk
    History
    fit
""".split()                     # what most work needs; everything else lives in its module
ON_ARRAYS = ('losses', 'metrics', 'rerank', 'search', 'sketch', 'prepared')   # no transformers, no model, whatever they import
HEAD = '''"The names that most work needs, in one import: `from dino_retrieval.all import *`."
# Written by .ci/rooms.py: add a name there.
'''
TAIL = "\n__all__ = [name for name in dir() if name[0] != '_']\n"

def listed():
    "Pages in the order of the site's menu, by section; those outside of all sections under ''."
    menu = yaml.safe_load((ROOT/'_quarto.yml').read_text(encoding='utf-8'))
    found = {'': []}
    for item in menu['website']['sidebar']['contents']:
        if 'section' in item: found[item['section']] = item['contents']
        else: found[''].append(item['href'])
    return found

def check_menu(sections):
    in_menu = {name for names in sections.values() for name in names}
    files = [p for p in (ROOT/'nbs').rglob('*') if p.suffix in ('.ipynb', '.qmd')]
    on_disk = {p.relative_to(ROOT/'nbs').as_posix() for p in files
               if not {'.ipynb_checkpoints', 'tests'} & set(p.parts)}
    if wrong := (on_disk - {'404.qmd'}) ^ in_menu:
        sys.exit(f'_quarto.yml and the folder nbs differ in {", ".join(sorted(wrong))}')

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
        if len(line) > 90:
            wrapped = textwrap.fill(', '.join(names), 90, initial_indent='    ', subsequent_indent='    ')
            line = f'from dino_retrieval.{module} import (\n{wrapped})'
        lines.append(line)
    (ROOT/'dino_retrieval/all.py').write_text(HEAD + '\n'.join(lines) + '\n' + TAIL, encoding='utf-8')

def write_list(notebooks):
    "The table between two marks in nbs/index.ipynb: each numbered notebook beside its lettered ones."
    rows = {}
    for notebook in notebooks:
        floor, lettered = notebook[:2], notebook[2].isalpha()
        title, _, module = head_of(notebook)
        link = f'[`{notebook.removesuffix(".ipynb")}`]({notebook})'
        if not lettered: link += f' {title.lower()}'
        rows.setdefault(floor, ([], []))[lettered].append(link)
    lines = ['| notebook | stands on |', '|---|---|']
    lines += [f'| {" · ".join(main)} | {" · ".join(rest)} |' for main, rest in rows.values()]
    path = ROOT/'nbs/index.ipynb'
    index = json.loads(path.read_text(encoding='utf-8'))
    marks = re.compile('(<!-- modules -->\n).*(<!-- end -->)', flags=re.S)
    cell, = [c for c in index['cells'] if '<!-- modules -->' in ''.join(c['source'])]
    text = marks.sub(lambda m: m[1] + '\n'.join(lines) + '\n' + m[2], ''.join(cell['source']))
    cell['source'] = text.splitlines(keepends=True)
    path.write_text(json.dumps(index, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')

def docstrings_of(module):
    "The first line of what each public function and class of a module says of itself."
    public = exported_by(module)
    defined = [node for node in tree_of(module).body
               if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in public]
    return {node.name: (ast.get_docstring(node) or '').split('\n')[0] for node in defined}

def write_api(notebooks):
    "A page of all public names, each with its one line and a link."
    lines = ['---', 'title: All names', 'description: Every public function and class, by module.',
             '---', '', '<!-- Written by .ci/rooms.py. -->']
    for notebook in notebooks:
        title, _, module = head_of(notebook)
        lines += ['', f'## [{title}]({notebook})', '', '| name | what it does |', '|---|---|']
        for name, says in sorted(docstrings_of(module).items(), key=lambda item: item[0].lower()):
            link = f'[`{module}.{name}`]({notebook}#{name.lower()})'
            lines.append(f'| {link} | {says.replace("|", chr(92) + "|")} |')
    (ROOT/'nbs/api.qmd').write_text('\n'.join(lines) + '\n', encoding='utf-8')

SETTINGS = '''---
title: Settings
description: The flags of every command, with their defaults.
---

<!-- Written by .ci/rooms.py. -->

`dino COMMAND --help` prints the same. The older names `dino_train`, `dino_index` and so on are the same commands. In
Python, `fit` takes the settings of `dino train` as keywords.

Every command takes `--quiet`, which leaves only warnings and errors. `--json -` prints one JSON document and nothing
else. For completion in the shell, see [installation](install.qmd).
'''
ENVIRONMENT = '''
## Environment

| variable | meaning |
|---|---|
| `DINO_MAX_PIXELS`, `DINO_MAX_BYTES`, `DINO_MAX_MEMORY` | largest image, largest file, and memory for decoding |
| `DINO_CACHE` | folder of cached tokens instead of `~/.cache/dino_retrieval` |
| `MILVUS_TOKEN` | token of a Milvus server, as `user:password` |
| `AWS_PROFILE`, `GOOGLE_APPLICATION_CREDENTIALS`, ... | credentials of stores, which their libraries read (`s3fs`, `gcsfs`); a URL that holds a secret is refused |
| `RAY_ADDRESS` | Ray cluster of `dino embed --ray`; without it Ray is started on this machine alone |
| `HF_HUB_OFFLINE=1` | never ask the Hub |
| `TQDM_DISABLE=1` | no progress bars |
'''

def settings_of(name, run):
    "A section for a command: what it does, its arguments, examples."
    parser = run.parser(f'dino {name}')
    lines = ['', f'## dino {name}', '', f'{run.__doc__}', '', '| argument | default | meaning |', '|---|---|---|']
    for action in parser._actions:
        if action.dest in ('help', 'quiet'): continue
        typed = f'`{action.option_strings[0]}`' if action.option_strings else f'`{action.dest.upper()}`'
        says = action.help.replace(' (default: %(default)s)', '').replace('%%', '%')
        says = says.replace('|', '\\|').replace('<', '&lt;')
        default = 'required' if action.required else f'`{action.default}`'
        if not action.required and action.default in (None, False): default = ''
        lines.append(f'| {typed} | {default} | {says} |')
    return [*lines, '', '```sh', *EXAMPLES[name], '```']

def write_settings():
    "A page of all commands and their flags, from their parsers."
    lines = [line for name in EXAMPLES for line in settings_of(name, SUBCOMMANDS[name])]
    text = SETTINGS + '\n'.join(lines) + '\n' + ENVIRONMENT
    (ROOT/'nbs/settings.qmd').write_text(text, encoding='utf-8')

def main():
    sections = listed()
    check_menu(sections)
    notebooks = sections['Modules']
    modules = [head_of(notebook)[2] for notebook in notebooks]
    check_imports(modules)
    write_all(modules)
    write_list(notebooks)
    write_api(notebooks)
    write_settings()

main()
