"The names that most work needs, in one import: `from dino_retrieval.all import *`."
# Written by .ci/rooms.py: add a name there.
from dino_retrieval.audit import Audit, audit, dedup
from dino_retrieval.batches import EvalView, PKSampler, TrainView, TripletDataset
from dino_retrieval.cache import TokenCache
from dino_retrieval.data import (
    BadImage, ImageSet, demo_data, load_image, open_data, show_images)
from dino_retrieval.embedding import embed
from dino_retrieval.evaluate import Report, by_prefix, compare, evaluate, revisited
from dino_retrieval.explain import Explanation, explain
from dino_retrieval.files import InputError
from dino_retrieval.guard import leave_one_out
from dino_retrieval.losses import NormalizedSoftmax, batch_triplet_loss, triplet_loss
from dino_retrieval.metrics import (
    accuracy_at_k, ap_at_k, ap_trapezoid, map_at_r, micro_ap, ndcg_at_k, open_set,
    precision_at_k, r_precision, recall_at_k, reciprocal_rank)
from dino_retrieval.model import Embedder
from dino_retrieval.report import html_report
from dino_retrieval.rerank import (
    expand, k_reciprocal, learned_whitening, whiten, whitening)
from dino_retrieval.retrieve import Gallery, Results
from dino_retrieval.run import History
from dino_retrieval.search import topk
from dino_retrieval.train import fit

__all__ = [name for name in dir() if name[0] != '_']
