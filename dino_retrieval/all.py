"Every public name in one import: `from dino_retrieval.all import *`."
from dino_retrieval.audit import *
from dino_retrieval.data import *
from dino_retrieval.files import *
from dino_retrieval.halves import *
from dino_retrieval.metrics import *
from dino_retrieval.model import *
from dino_retrieval.report import *
from dino_retrieval.rerank import *
from dino_retrieval.retrieve import *
from dino_retrieval.store import *
from dino_retrieval.train import *
