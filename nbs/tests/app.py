"""Open the page of `dino app` in a browser, use it as a person would, and attack it as a stranger would.

Usage: python nbs/tests/app.py [FOLDER FOR SCREENSHOTS]
Needs gradio, playwright and a Chromium; says so and ends well where one is missing.
"""
import http.client, io, json, os, re, shutil, subprocess, sys, tempfile, time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

SECRET = 'the-content-of-a-file-that-nobody-may-see'
PATIENCE = 240_000                  # milliseconds; a busy machine is slow
SHOTS = Path(sys.argv[1]) if len(sys.argv) > 1 else None

def make_gallery(folder):
    "A gallery of 60 emoji, two of whose files lead elsewhere by now; the folder of its pictures."
    from dino_retrieval.data import ImageSet, demo_data
    from dino_retrieval.model import Embedder
    from dino_retrieval.retrieve import Gallery
    data = demo_data(folder/'data')
    images = ImageSet.from_folder(data/'train').subset(range(60))
    gallery = Gallery.build(Embedder.from_pretrained('tiny', trainable_layers=()), images, folder/'gallery')
    gallery.calibrate(images, rate=.2)
    (folder/'secret.png').write_text(SECRET)
    images.paths[59].unlink()
    images.paths[59].symlink_to(folder/'secret.png')
    return images

@contextmanager
def served(folder):
    "The address of the page, served by the command in a process of its own."
    command = [sys.executable, '-u', '-m', 'dino_retrieval', 'app', str(folder/'gallery')]
    temporary = folder/'temporary'
    temporary.mkdir()
    env = {**os.environ, 'TMPDIR': str(temporary), 'HF_HUB_OFFLINE': '1'}
    server = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert 'opening' in server.stdout.readline()
        line = server.stdout.readline()
        assert 'http://127.0.0.1:' in line, line
        yield re.search(r'http://[\d.:]+', line)[0], temporary
    finally:
        server.terminate()
        server.wait(60)
    assert server.returncode == 0, server.returncode
    assert not list(temporary.glob('dino_app_*')), 'uploads were left'

def picture(size, kind):
    from PIL import Image
    raw = io.BytesIO()
    Image.new('L', size, 90).save(raw, kind)
    return raw.getvalue()

class Visitor:
    "A page in a browser, and what a person does on it."
    def __init__(self, browser, address, **settings):
        self.address = address
        self.context = browser.new_context(**settings)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.errors, self.asked = [], []
        self.page.on('pageerror', lambda e: self.errors.append(str(e)))
        self.page.on('request', lambda r: self.asked.append(r.url))
        self.open()

    def open(self, path='/'):
        self.page.goto(self.address + path)
        self.page.locator('#query .ask').wait_for()

    def upload(self, name, raw):
        self.page.set_input_files('#query input[type=file]', dict(name=name, mimeType='image/png', buffer=raw))

    def search(self, name, raw):
        self.upload(name, raw)
        self.page.locator(f'#hits [data-query="{name}"] figure').first.wait_for()

    def names(self):
        return self.page.locator('#hits .name').all_inner_texts()

    def rows(self):
        figures = self.page.locator('#hits figure')
        return figures.evaluate_all('figures => figures.map(f => f.dataset.row)')

    def scores(self):
        return self.page.locator('#hits figcaption b').all_inner_texts()

    def changes(self, do):
        "Do something, and wait until the hits are others."
        before = self.page.locator('#hits .hits').inner_html()
        do()
        self.page.wait_for_function('before => document.querySelector("#hits .hits")?.innerHTML != before', arg=before)

    def hit(self, n): return self.page.locator('#hits figure').nth(n)
    def press(self, n, do): self.hit(n).locator(f'[data-do={do}]').click()

    def fault(self):
        self.page.locator('#query .fault').wait_for()
        return self.page.locator('#query .fault').inner_text()

    def drag(self, left, top, right, bottom):
        "Draw a box, in fractions of the picture."
        stage = self.page.locator('.stage')
        stage.scroll_into_view_if_needed()
        b = stage.bounding_box()
        self.page.mouse.move(b['x'] + left*b['width'], b['y'] + top*b['height'])
        self.page.mouse.down()
        self.page.mouse.move(b['x'] + right*b['width'], b['y'] + bottom*b['height'], steps=5)
        self.page.mouse.up()

    def shot(self, name, full=False):
        if not SHOTS: return
        self.page.wait_for_timeout(1200)               # thumbnails come one by one
        self.page.screenshot(path=SHOTS/f'{name}.png', full_page=full)

    def close(self):
        outside = {url for url in self.asked if not url.startswith((self.address, 'data:', 'blob:'))}
        assert not outside, outside
        assert not self.errors, self.errors
        self.context.close()

def search_and_crop(v, raw):
    v.search('query.png', raw)
    assert len(v.names()) == 12 and v.scores()[0] == '1.000', v.scores()
    assert 'picture=query.png' in v.page.url, v.page.url
    assert 'at the threshold' in v.page.locator('.verdict').first.inner_text()
    v.shot('search')
    whole = v.scores()
    v.changes(lambda: v.drag(.2, .2, .8, .7))
    box = v.page.locator('.stage .box')
    style = box.get_attribute('style')
    sides = [float(side) for side in re.findall(r'([\d.]+)%', style)]           # left, top, width, height
    assert all(abs(a - b) < 2 for a, b in zip(sides, (20, 20, 60, 50))), style
    assert v.scores() != whole
    v.shot('box')
    v.page.locator('.stage').focus()
    v.changes(lambda: v.page.keyboard.press('ArrowDown'))           # the box by keyboard
    v.changes(lambda: v.page.locator('[data-do=whole]').click())
    assert v.scores() == whole and not box.count()

def mark_and_look(v):
    plain = v.scores()
    third = v.rows()[3]
    v.changes(lambda: v.press(3, 'less'))
    assert v.page.locator(f'#hits .less[data-row="{third}"], #hits:not(:has([data-row="{third}"]))').count()
    assert v.scores() != plain
    v.changes(lambda: v.press(1, 'more'))
    assert v.page.locator('#hits .more').count() == 1
    row = v.rows()[2]
    v.press(2, 'look')
    v.page.locator('#look .wide').wait_for()
    assert v.page.get_by_text('of what raises it').count() == 2
    assert v.page.locator('#hits .looked-at').get_attribute('data-row') == row
    v.shot('look', full=True)
    v.changes(lambda: v.page.get_by_label('hits').first.fill('20'))
    assert v.page.locator('#hits .looked-at').get_attribute('data-row') == row      # the frame follows
    v.page.locator('#look [data-do=close]').click()
    v.page.locator('#look .looked').wait_for(state='detached')

def downloads(v):
    for suffix in ('json', 'csv'):
        with v.page.expect_download() as got: v.page.get_by_text(f'hits.{suffix}').click()
        text = Path(got.value.path()).read_text()
        if suffix == 'json': assert len(json.loads(text)['hits']) == len(v.names())
        else: assert text.count('\n') == len(v.names()) + 1, text

def browse_and_share(v, images):
    v.page.get_by_role('tab', name='Browse').click()
    v.page.locator('#browse figure').first.wait_for()
    v.shot('browse')
    v.page.get_by_label('part of the name').fill('noto.png')
    v.page.wait_for_function('document.querySelectorAll("#browse figure").length == 12')
    v.page.locator('#browse figure').nth(3).locator('button').click()
    chosen = v.page.locator('#hits [data-query$="noto.png"] figure')
    chosen.first.wait_for()
    v.page.wait_for_url('**picture=*noto.png')
    names = v.names()
    v.open(v.page.url.removeprefix(v.address))
    chosen.first.wait_for()                             # until then: pictures to start from
    assert v.names() == names[:12], (v.names(), names)  # as many as at first
    v.page.get_by_role('tab', name='About').click()
    v.page.get_by_text('curl').wait_for()
    v.shot('about')

def start_from_the_gallery(v):
    assert v.page.locator('#hits figure').count() == 12
    v.press(4, 'start')
    v.page.locator('.stage').wait_for()
    assert len(v.scores()) == 12
    v.press(0, 'look')
    v.page.locator('#look .wide').wait_for()

def wrong_uploads(v, raw):
    kept = v.page.locator('.hint b').inner_text()
    v.upload('broken.png', raw[:300])
    assert 'broken.png' in v.fault() and '\n' not in v.fault()
    assert v.page.locator('.hint b').inner_text() == kept and len(v.scores()) == 12
    v.page.locator('#look .looked').wait_for(state='detached')
    v.shot('broken')
    v.upload('sixty.png', picture((10_000, 6_000), 'PNG'))
    v.page.get_by_text('too many pixels to decode').wait_for()
    v.search('sixty.jpg', picture((10_000, 6_000), 'JPEG'))
    v.upload('<img src=x onerror=alert(1)>.png', b'{{7*7}} ${alert(1)}')
    v.page.get_by_text('onerror').wait_for()
    v.open('/?picture=../../../etc/passwd')
    assert 'is not in this gallery' in v.fault()

def on_a_phone(browser, address, raw):
    v = Visitor(browser, address, viewport=dict(width=390, height=844), has_touch=True, is_mobile=True,
                color_scheme='dark')
    v.open('/?__theme=dark')
    v.search('query.png', raw)
    wide = v.page.evaluate('document.documentElement.scrollWidth')
    assert wide <= 390, f'{wide} pixels wide'
    v.changes(lambda: v.drag(.1, .1, .6, .6))
    v.shot('phone', full=True)
    v.close()

def two_at_once(browser, address, images):
    a, b = (Visitor(browser, address) for _ in range(2))
    a.upload('a.png', images.paths[0].read_bytes())
    b.upload('b.png', images.paths[30].read_bytes())
    for v, name, first in ((a, 'a.png', images.paths[0]), (b, 'b.png', images.paths[30])):
        v.page.locator(f'#hits [data-query="{name}"] figure').first.wait_for()
        assert v.hit(0).locator('.name').get_attribute('title').endswith(f'{first.parent.name}/{first.name}')
    a.changes(lambda: a.press(1, 'more'))
    assert a.page.locator('#hits .more').count() == 1 and not b.page.locator('#hits .more').count()
    a.close()
    b.close()

def request(address, method, path, body=None, **headers):
    "Status and body of a request as it is typed, with nothing tidied."
    host = address.removeprefix('http://')
    server = http.client.HTTPConnection(host, timeout=PATIENCE/1000)
    server.putrequest(method, path, skip_host='Host' in headers)
    for name, value in headers.items(): server.putheader(name.replace('_', '-'), value)
    if body is not None and 'Content_Length' not in headers: server.putheader('Content-Length', str(len(body)))
    server.endheaders(body)
    answer = server.getresponse()
    return answer.status, answer.read()

def hostile(address, folder, raw):
    "Twenty requests that nobody should send: none is answered with a file, and the server stays up."
    secret, link = f'{folder}/secret.png', f'{folder}/data'
    event = dict(data=[{'path': secret}, 12, '', ''], event_data=dict(path=secret, name='x', size=1), fn_index=0,
                 session_hash='abc', trigger_id=1)
    json_ = dict(Content_Type='application/json')
    attacks = [
        ('GET', f'/gradio_api/file={secret}', None, {}), ('GET', f'/file={secret}', None, {}),
        ('GET', f'/gradio_api/file={link}/../secret.png', None, {}), ('GET', '/picture/../../../etc/passwd', None, {}),
        ('GET', '/picture/..%2f..%2f..%2fetc%2fpasswd', None, {}), ('GET', '/picture/-1', None, {}),
        ('GET', '/picture/60', None, {}), ('GET', '/picture/' + '9'*4000, None, {}), ('GET', '/picture/59', None, {}),
        ('GET', '/static/../../../../../etc/passwd', None, {}), ('GET', '/assets/%2e%2e/%2e%2e/etc/passwd', None, {}),
        ('GET', '/gradio_api/proxy=http://example.com/', None, {}), ('GET', '/', None, dict(Host='evil.example')),
        ('POST', '/search', b'', {}), ('POST', '/search', b'<svg onload=alert(1)>', {}),
        ('POST', '/search', picture((10_000, 6_000), 'PNG'), {}), ('POST', '/search?k=99999', raw, {}),
        ('POST', '/search?box=nan,0,1,1', raw, {}), ('POST', '/search', raw, dict(Origin='https://evil.example')),
        ('POST', '/search', b'', dict(Content_Length='99999999999')),
        ('POST', '/gradio_api/queue/join', json.dumps(event).encode(), json_),
        ('POST', '/gradio_api/queue/join', b'[' * 100_000, json_),
        ('POST', '/gradio_api/component_server/', json.dumps(dict(fn_name='__class__')).encode(), json_),
        ('DELETE', '/picture/1', None, {}), ('GET', '/%00', None, {}), ('GET', '/' + 'a'*9000, None, {})]
    for method, path, body, headers in attacks:
        status, answer = request(address, method, path, body, **headers)
        assert SECRET.encode() not in answer and b'root:' not in answer, path
        allowed = path.startswith('/gradio_api/queue/join')
        assert allowed or 400 <= status < 500, (method, path[:60], status)
    assert (folder/'secret.png').read_text() == SECRET
    status, answer = request(address, 'POST', '/search?k=3', raw)
    assert status == 200 and json.loads(answer)['hits'][0]['score'] > .99, answer
    print(f'{len(attacks)} hostile requests')

def visit(address, folder, images, chromium):
    from playwright.sync_api import sync_playwright
    raw = images.paths[7].read_bytes()
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=['--no-sandbox'])
        v = Visitor(browser, address, viewport=dict(width=1440, height=900), color_scheme='light')
        v.shot('empty')
        search_and_crop(v, raw)
        mark_and_look(v)
        downloads(v)
        browse_and_share(v, images)
        v.open()
        start_from_the_gallery(v)
        wrong_uploads(v, raw)
        v.close()
        on_a_phone(browser, address, raw)
        two_at_once(browser, address, images)
        browser.close()

def main():
    chromium = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    for name in ('gradio', 'playwright'):
        if not find_spec(name): return print(f'skipped: {name} is not installed')
    if not chromium: return print('skipped: there is no Chromium')
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder).resolve()
        images = make_gallery(folder)
        with served(folder) as (address, temporary):
            start = time.time()
            visit(address, folder, images, chromium)
            hostile(address, folder, images.paths[7].read_bytes())
            left = [p for p in temporary.rglob('*') if p.is_file() and p.suffix in ('.png', '.jpg')]
            assert not left, left
    print(f'the page holds ({time.time() - start:.0f} s)')

if __name__ == '__main__': main()
