"Hold every notebook to 500 kB, its exported lines to 90 characters, its first cell to a title, and its outputs to what can be repeated."
import json, re, sys
from pathlib import Path

root, found = Path(__file__).parent.parent, []
for path in sorted((root/'nbs').rglob('*.ipynb')):
    text = path.read_text(encoding='utf-8'); cells = json.loads(text)['cells']
    if len(text) > 500_000: found.append(f'{path.name}: {len(text):,} bytes')
    for line in ''.join(cells[0]['source']).split('\n'):       # the site drops other prose there
        if cells[0]['cell_type'] == 'markdown' and line and not line.startswith(('# ', '> ', '- ')):
            found.append(f'{path.name}: the first cell holds more than a title: {line[:60]}')
    for c in (c for c in cells if c['cell_type'] == 'code'):
        found += [f'{path.name}: {len(l)} characters: {l}' for l in ''.join(c['source']).split('\n')
                  if '#| export' in ''.join(c['source']) and len(l) > 90]
        for o in c['outputs']:
            said = json.dumps(o)
            if o['output_type'] == 'error' or 'widget-view' in said or re.search(r'/(tmp|home|root|work)/|0x[0-9a-f]{6}', said):
                found.append(f'{path.name}: an output that cannot be repeated: {said[:200]}')
sys.exit('\n'.join(found) or 0)
