"Write README.md from nbs/index.ipynb: its prose, its visible code, and its saved text outputs."
import json
from pathlib import Path

ROOT = Path(__file__).parent.parent

def text_of(cell):
    "A cell as Markdown: prose as it stands, code and what it printed in fences."
    source = ''.join(cell['source'])
    if cell['cell_type'] == 'markdown': return [source.replace('](demo.png)', '](nbs/demo.png)')]
    flags = [line for line in source.split('\n') if line.startswith('#|')]
    code = '\n'.join(line for line in source.split('\n') if not line.startswith('#|')).strip()
    parts = [] if '#| echo: false' in flags else [f'```python\n{code}\n```']
    for output in cell['outputs']:
        printed = output.get('text') or output.get('data', {}).get('text/plain', [])
        printed = ''.join(printed).rstrip()
        if printed: parts.append(f'```\n{printed}\n```')
    return parts

cells = json.loads((ROOT/'nbs/index.ipynb').read_text(encoding='utf-8'))['cells']
parts = ['<!-- Written by .ci/readme.py from nbs/index.ipynb: edit that. -->']
for cell in cells:
    if '#| hide' not in ''.join(cell['source']).split('\n'): parts += text_of(cell)
(ROOT/'README.md').write_text('\n\n'.join(parts) + '\n', encoding='utf-8')
