"""Open the tutorial in JupyterLab, run all its cells in a browser, and check what a person would see.

Usage: python nbs/tests/lab.py     (needs playwright and a Chromium; says so and ends well where one is missing)
"""
import json, os, shutil, socket, subprocess, sys, tempfile, time, urllib.request
from importlib.util import find_spec
from pathlib import Path

TUTORIAL = Path(__file__).parent.parent/'tutorials'/'finetune.ipynb'
TOKEN = 'lab'
PATIENCE = 600                  # seconds for all cells

def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]

def serve(folder, port):
    "Start JupyterLab in a folder, on this machine alone."
    command = [sys.executable, '-m', 'jupyter', 'lab', '--no-browser', '--allow-root', '--ip=127.0.0.1',
               f'--port={port}', f'--ServerApp.root_dir={folder}', f'--IdentityProvider.token={TOKEN}']
    env = {**os.environ, 'DATA_DIR': '', 'BACKBONE': 'tiny', 'NUM_EPOCHS': '1', 'OUT': 'out'}
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

def ask(port, path):
    with urllib.request.urlopen(f'http://127.0.0.1:{port}/api/{path}?token={TOKEN}', timeout=10) as answer:
        return json.load(answer)

def wait_for(done, seconds, what):
    for _ in range(2*seconds):
        try:
            if done(): return
        except OSError: pass
        time.sleep(.5)
    sys.exit(f'{what} did not come within {seconds} s')

def run_all(port, chromium, picture):
    "Open the notebook, choose Run All Cells, wait for the end, and return the page's errors."
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=['--no-sandbox'])
        page = browser.new_page(viewport=dict(width=1400, height=1000))
        errors = []
        page.on('pageerror', lambda e: errors.append(str(e)))
        page.goto(f'http://127.0.0.1:{port}/lab/tree/finetune.ipynb?token={TOKEN}')
        page.locator('.jp-Notebook').wait_for(timeout=120_000)
        page.get_by_text('| Idle').wait_for(timeout=120_000)         # the kernel has started
        page.get_by_role('menuitem', name='Run', exact=True).click()
        page.get_by_text('Run All Cells', exact=True).click()
        def busy(): return ask(port, 'kernels')[0]['execution_state'] == 'busy'
        wait_for(busy, 60, 'the first cell')
        wait_for(lambda: not busy(), PATIENCE, 'the last cell')
        page.keyboard.press('Control+s')
        page.wait_for_timeout(3000)
        page.screenshot(path=picture)
        browser.close()
    return errors

def check(folder):
    "Every cell ran, none failed, figures are there, and files went under `out` alone."
    cells = json.loads((folder/'finetune.ipynb').read_text())['cells']
    code = [cell for cell in cells if cell['cell_type'] == 'code']
    assert all(cell['execution_count'] for cell in code), 'a cell was not run'
    outputs = [output for cell in code for output in cell['outputs']]
    failed = [output['evalue'] for output in outputs if output['output_type'] == 'error']
    assert not failed, failed
    figures = sum('image/png' in output.get('data', {}) for output in outputs)
    assert figures >= 5, f'{figures} figures'
    kept = {p.name for p in folder.iterdir()} - {'.ipynb_checkpoints', 'screen.png'}
    assert kept == {'finetune.ipynb', 'out'}, kept
    print(f'{len(code)} cells, {figures} figures')

def main():
    chromium = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    if not find_spec('playwright'): return print('skipped: playwright is not installed')
    if not chromium: return print('skipped: there is no Chromium')
    with tempfile.TemporaryDirectory() as folder:
        folder, port = Path(folder), free_port()
        shutil.copy(TUTORIAL, folder)
        server = serve(folder, port)
        try:
            wait_for(lambda: ask(port, 'status'), 60, 'JupyterLab')
            errors = run_all(port, chromium, folder/'screen.png')
            if len(sys.argv) > 1: shutil.copy(folder/'screen.png', sys.argv[1])
            assert not errors, errors
            check(folder)
        finally:
            server.terminate()
            server.wait()

main()
