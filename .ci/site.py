"""Build the site's pages and check them: opening text, outputs, signatures, links, pictures, alt texts.

Usage: python .ci/site.py
Where Quarto is on the PATH, or else smalldocs, it renders the site into _proc/_docs and follows its links.
"""
import os, re, shutil, subprocess, sys, tempfile
from html.parser import HTMLParser
from pathlib import Path
from measures import ROOT, cells_of, source_of

PAGES = ROOT/'_proc'
SITE = PAGES/'_docs'
FENCE = re.compile(r'^```.*?^```', re.M | re.S)
LINK = re.compile(r'(!?)\[([^\]]*)\]\(([^)\s]+)[^)]*\)')

def process(have_quarto):
    "`nbdev_proc_nbs`, which wants to see a Quarto though it does not call it."
    path = os.environ['PATH']
    with tempfile.TemporaryDirectory() as tmp:
        if not have_quarto:
            stub = Path(tmp)/'quarto'
            stub.write_text('#!/bin/sh\nexit 0\n')
            stub.chmod(0o755)
            path = f'{tmp}{os.pathsep}{path}'
        done = subprocess.run(['nbdev_proc_nbs'], cwd=ROOT, env={**os.environ, 'PATH': path},
                              capture_output=True, text=True)
    if done.returncode: sys.exit(done.stderr[-3000:])

def text_of(page):
    "The Markdown of a processed page, with that of its outputs."
    if page.suffix != '.ipynb': return page.read_text(encoding='utf-8')
    parts = []
    for cell in cells_of(page):
        if cell['cell_type'] in ('markdown', 'raw'): parts.append(source_of(cell))
        for output in cell.get('outputs', ()):
            parts.append(''.join(output.get('data', {}).get('text/markdown', ())))
    return '\n\n'.join(parts)

def check_opening(source, text):
    "What the second cell says must be on the page."
    cells = cells_of(source)
    prose = [source_of(c) for c in cells[1:] if c['cell_type'] == 'markdown'][0]
    first = re.split(r'[`\[(]', prose.strip())[0][:60]
    if first not in text: yield f'the opening text is lost: {first!r}'

def check_outputs(page):
    shown = [c for c in cells_of(page) if c['cell_type'] == 'code']
    if shown and not any(c['outputs'] for c in shown): yield 'nothing on the page has an output'

def check_signatures(text):
    for fence in FENCE.findall(text):
        if found := re.search(r'.*\]\(https?://.*', fence):
            yield f'a raw link in a signature: {found[0].strip()}'

def check_links(page, text):
    for picture, label, target in LINK.findall(FENCE.sub('', text)):
        if picture and not label: yield f'a picture without alt text: {target}'
        file = target.split('#')[0]
        if not file or '://' in file or file.startswith(('mailto:', 'data:')): continue
        if not (page.parent/file).exists(): yield f'a link to nowhere: {target}'

def check_page(page):
    text = text_of(page)
    source = ROOT/'nbs'/page.relative_to(PAGES)
    if not re.search(r'^description:', text[:800], re.M): yield 'no description'
    if page.suffix == '.ipynb':
        yield from check_opening(source, text)
        yield from check_outputs(page)
    yield from check_signatures(text)
    yield from check_links(page, text)

class Links(HTMLParser):
    "What an HTML page refers to, the names of its parts, and its pictures without alt text."
    def __init__(self, page):
        super().__init__()
        self.targets, self.names, self.silent = [], set(), []
        self.feed(page.read_text(encoding='utf-8'))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if 'id' in attrs: self.names.add(attrs['id'])
        if tag in ('a', 'link'): self.targets.append(attrs.get('href') or '')
        if tag in ('img', 'script'): self.targets.append(attrs.get('src') or '')
        if tag == 'img' and not attrs.get('alt'): self.silent.append((attrs.get('src') or '')[:80])

def crawl(site):
    "Links of a rendered site that lead to no file or to no part of one."
    pages = {page: Links(page) for page in sorted(site.rglob('*.html'))}
    for page, links in pages.items():
        for target in links.targets:
            file, _, name = target.partition('#')
            if '://' in target or target.startswith(('mailto:', 'data:', 'javascript:', '//')): continue
            found = (page.parent/file).resolve() if file else page
            if not found.exists(): yield page, f'a link to nowhere: {target}'
            elif name and found in pages and name not in pages[found].names:
                yield page, f'a link to no part of a page: {target}'
        for source in links.silent: yield page, f'a picture without alt text: {source}'

def write_llms(pages):
    "`llms.txt`: the pages in a list, for programs that read documentation."
    lines = ['# dino_retrieval', '']
    for page in pages:
        head = text_of(page)[:800]
        title = re.search(r'^title: (.*)', head, re.M)
        says = re.search(r'^description: (.*(?:\n  .*)*)', head, re.M)
        address = page.relative_to(PAGES).with_suffix('.html')
        if output := re.search(r'^output-file: (.*)', head, re.M): address = address.with_name(output[1])
        about = re.sub(r'\s+', ' ', says[1]) if says else ''
        lines.append(f'- [{title[1]}]({address.as_posix()}): {about}')
    (SITE/'llms.txt').write_text('\n'.join(lines) + '\n', encoding='utf-8')

def main():
    quarto = shutil.which('quarto')
    process(quarto)
    pages = [p for p in sorted(PAGES.rglob('*')) if p.suffix in ('.ipynb', '.qmd')]
    pages = [p for p in pages if 'tests' not in p.parts]
    found = [f'{p.relative_to(PAGES)}: {fault}' for p in pages for fault in check_page(p)]
    renderer = quarto or shutil.which('smalldocs')
    if renderer:
        subprocess.run([renderer, 'render'], cwd=PAGES, check=True, capture_output=True)
        write_llms(pages)
        found += [f'{page.relative_to(SITE)}: {fault}' for page, fault in crawl(SITE)]
    made_by = f'rendered by {Path(renderer).name}' if renderer else 'not rendered'
    print(f'{len(pages)} pages, {made_by}')
    sys.exit('\n'.join(found) or 0)

if __name__ == '__main__': main()
