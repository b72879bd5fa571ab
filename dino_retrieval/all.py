"What a session of work needs in one import: `from dino_retrieval.all import *`."
from dino_retrieval import report    # gives a Report its figures and its page
from dino_retrieval.audit import Audit, audit
from dino_retrieval.data import (
    BadImage, EvalView, ImageSet, PKSampler, TrainView, TripletDataset, demo_data,
    load_image, open_data, show_images)
from dino_retrieval.files import InputError
from dino_retrieval.metrics import (
    Report, accuracy_at_k, ap_at_k, ap_trapezoid, by_prefix, compare, evaluate, map_at_r,
    micro_ap, ndcg_at_k, open_set, precision_at_k, r_precision, recall_at_k,
    reciprocal_rank, revisited)
from dino_retrieval.model import Embedder
from dino_retrieval.rerank import expand, k_reciprocal, learned_whitening, whiten, whitening
from dino_retrieval.retrieve import Gallery, Results, embed, topk
from dino_retrieval.train import (
    History, TokenCache, fit, leave_one_out, mined_loss, triplet_loss)

__all__ = [name for name in dir() if name[0] != '_' and name != 'report']
