"Write README.md from nbs/index.ipynb: its prose, its visible code, and its saved text outputs."
import json
from pathlib import Path

root = Path(__file__).parent.parent
cells = json.loads((root/'nbs/index.ipynb').read_text(encoding='utf-8'))['cells']
out = ['<!-- Written by .ci/readme.py from nbs/index.ipynb: edit that. -->']
for c in cells:
    text = ''.join(c['source'])
    lines = text.split('\n')
    flags = {l[2:].strip() for l in lines if l.startswith('#|')}
    if 'hide' in flags: continue
    if c['cell_type'] == 'markdown': out.append(text.replace('](demo.png)', '](nbs/demo.png)')); continue
    code = '\n'.join(l for l in lines if not l.startswith('#|')).strip()
    if 'echo: false' not in flags: out.append(f'```python\n{code}\n```')
    for o in c['outputs']:
        said = ''.join(o.get('text') or o.get('data', {}).get('text/plain', [])).rstrip()
        if said: out.append(f'```\n{said}\n```')
(root/'README.md').write_text('\n\n'.join(out) + '\n', encoding='utf-8')
