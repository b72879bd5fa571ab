"Write README.md from nbs/index.ipynb: its prose, its visible code, and its saved outputs."
import json, re, sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
MOST = 900                  # words: a front page that is read to its end

def in_repository(prose):
    "Links of the page as links of the README, a folder above it; Mermaid as GitHub writes it."
    prose = re.sub(r'\]\((?!https?:|#)', '](nbs/', prose)
    return prose.replace('```{mermaid}', '```mermaid')

def text_of(cell):
    "A cell as Markdown: prose as it stands, code and what it printed in fences."
    source = ''.join(cell['source'])
    if cell['cell_type'] == 'markdown': return [in_repository(source)]
    flags = [line for line in source.split('\n') if line.startswith('#|')]
    code = '\n'.join(line for line in source.split('\n') if not line.startswith('#|')).strip()
    parts = [] if '#| echo: false' in flags else [f'```python\n{code}\n```']
    for output in cell['outputs']:
        data = output.get('data', {})
        if 'text/markdown' in data:
            parts.append(''.join(data['text/markdown']))
            continue
        printed = ''.join(output.get('text') or data.get('text/plain', [])).rstrip()
        if printed: parts.append(f'```\n{printed}\n```')
    return parts

def words_of(text):
    "How many words a reader reads, tables too, as `wc` counts them; code and drawings apart."
    text = re.sub('^```.*?^```$|<!--.*?-->', '', text, flags=re.M | re.S)
    return len(text.split())

cells = json.loads((ROOT/'nbs/index.ipynb').read_text(encoding='utf-8'))['cells']
parts = ['<!-- Written by .ci/readme.py from nbs/index.ipynb: edit that. -->']
for cell in cells:
    if '#| hide' not in ''.join(cell['source']).split('\n'): parts += text_of(cell)
text = '\n\n'.join(parts) + '\n'
(ROOT/'README.md').write_text(text, encoding='utf-8')
if (n := words_of(text)) > MOST: sys.exit(f'README.md has {n} words, more than {MOST}')
