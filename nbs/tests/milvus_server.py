"""A Milvus server for slow cells: the wheel `milvus` (2.3.5, one node, x86-64 Linux).

It listens on all interfaces and wants the ports 2379 and 2380, so it is started only where the
network is a namespace with nothing but the loopback in it:

    pip install milvus
    unshare -rn sh -c 'ip link set lo up; exec jupyter lab'
"""
import atexit, logging, multiprocessing, os, shutil, signal, socket, subprocess, time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

def why_not():
    "Why no server can be started here, in a line; '' if one can."
    names = [name for _, name in socket.if_nameindex()]
    if shutil.which('milvus-server') is None: return 'skipped: no milvus-server on the PATH'
    if names != ['lo']: return 'skipped: the network is no namespace of its own (unshare -rn)'
    return ''

def run_command(words, file):
    "Run a command of dino in this process, with what it says in a file."
    from dino_retrieval import cli
    with open(file, 'w') as said, redirect_stdout(said), redirect_stderr(said): cli.dino(words)

class Command:
    "A command of dino in a process of its own, whose imports have been done once for all."
    def __init__(self, line, file):
        context = multiprocessing.get_context('forkserver')
        context.set_forkserver_preload(['milvus_server', 'dino_retrieval.all'])
        self.file = file
        self.process = context.Process(target=run_command, args=(line.split(), file))
        self.process.start()

    def kill(self):
        "SIGKILL; had it not ended by then?"
        alive = self.process.is_alive()
        self.process.kill()
        self.process.join()
        return alive

    def end(self):
        "Wait for it; its exit status, and what it said."
        self.process.join()
        return self.process.exitcode, Path(self.file).read_text()

def _processes_of(group):
    "Those of a process group, with the fields of /proc/PID/stat after the name."
    for path in Path('/proc').glob('[0-9]*/stat'):
        try: fields = path.read_text().rpartition(')')[2].split()
        except OSError: continue                                     # it has ended
        if int(fields[2]) == group: yield path.parent, fields

def seconds_of(group):
    "Processor time of a process group so far; 0 without one."
    if not group: return 0.
    ticks = sum(int(fields[11]) + int(fields[12]) for _, fields in _processes_of(group))
    return ticks/os.sysconf('SC_CLK_TCK')

def memory_of(group):
    "Bytes of memory that a process group holds; 0 without one."
    if not group: return 0
    pages = sum(int(fields[21]) for _, fields in _processes_of(group))
    return pages*os.sysconf('SC_PAGE_SIZE')

class Server:
    "A server with its data in a folder; `uri` and a collection's name are a gallery."
    def __init__(self, data, port=19531, token='', **settings):
        self.data = Path(data).absolute()
        self.port = port
        self.token = token
        self.settings = settings                                    # flags of milvus-server
        self.uri = f'milvus://127.0.0.1:{port}'
        self.process = None
        atexit.register(self.kill)

    @property
    def version(self):
        "What the server says of itself."
        from pymilvus import MilvusClient
        address = f'http://127.0.0.1:{self.port}'
        return MilvusClient(address, token=self.token, timeout=5).get_server_version()

    def _first(self):
        line = ['milvus-server', '--data', str(self.data), '--proxy-port', str(self.port)]
        for name, value in self.settings.items(): line += [f'--{name}', str(value)]
        return line, None

    def _again(self):
        "Without the wheel's script, which takes another port while the old one is in use."
        binary = self.data/'bin'/'milvus'
        run = dict(DEPLOY_MODE='STANDALONE', MILVUS_RUN_DIR=str(self.data/'run'),
                   METRICS_PORT='9091', LD_LIBRARY_PATH=str(binary.parent))
        return [str(binary), 'run', 'standalone'], {**os.environ, **run}

    def start(self):
        "Start it, unless it runs, and wait until it answers."
        if self.process is not None: return self
        known = (self.data/'configs'/'milvus.yaml').exists()
        line, env = self._again() if known else self._first()
        self.data.mkdir(parents=True, exist_ok=True)
        with open(self.data/'said.log', 'ab') as log:
            self.process = subprocess.Popen(line, env=env, cwd=self.data, stdout=log,
                                            stderr=log, start_new_session=True)
        return self.wait()

    def wait(self, limit=180):
        "Wait for a real answer: that the port is open says little."
        from pymilvus import MilvusClient
        logging.getLogger('pymilvus').setLevel(logging.CRITICAL)
        end = time.monotonic() + limit
        while True:
            try:
                client = MilvusClient(f'http://127.0.0.1:{self.port}', token=self.token, timeout=5)
                client.list_collections(timeout=5)
                client.close()
                return self
            except Exception:
                if time.monotonic() > end or self.process.poll() is not None: raise
                time.sleep(.5)

    def kill(self):
        "SIGKILL, all of its processes; SIGTERM does not end it."
        if self.process is None: return
        group = self.process.pid
        try: os.killpg(group, signal.SIGKILL)
        except ProcessLookupError: pass
        self.process.wait()
        while any(fields[0] not in 'ZX' for _, fields in _processes_of(group)): time.sleep(.05)
        self.process = None
