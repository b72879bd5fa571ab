"""Trainers of other libraries for `peers.ipynb`: same pictures, same backbone, equal CPU time.

Each trainer of PEERS takes (model_name, train_set, valid_set, seconds, seed) and stops
after `seconds` of process CPU time, checked between steps. That time includes reading
the pictures and validation, but neither imports nor loading the model.

Settings: 'documented' follows the library's own example, in which the whole backbone
trains; 'equal' keeps loss, optimiser, rate and sampler, but trains the last two blocks
and the final norm only, as `fit` does.

Alike for all: the backbone in float32, pictures of the model's own size and
normalisation, no worker processes (their CPU time would not be counted), and `embed`
without mirror images for the test. Call `torch.set_num_threads(1)` first.

    pip install pytorch-metric-learning==2.9.0 'sentence-transformers[train]==6.2.0'
    pip install torchvision pandas omegaconf gdown validators requests matplotlib
    pip install --no-deps open-metric-learning==4.0.0

The last one asks for numpy below 2; its README recommends `--no-deps` for such conflicts,
and the parts used here run with numpy 2. Run all rows of a table in one environment:
torchvision, where present, also decodes the pictures.
"""
import random, tempfile, time
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from dino_retrieval.batches import TrainView
from dino_retrieval.data import load_image
from dino_retrieval.embedding import embed
from dino_retrieval.guard import leave_one_out
from dino_retrieval.model import Embedder

BATCH = 32        # pictures a step, everywhere
SETTINGS = 'documented', 'equal'


@dataclass
class Trained:
    "A trained model and what its training took."
    model: nn.Module        # an Embedder
    seconds: float          # process CPU time
    steps: int              # updates of the weights
    epochs: float           # pictures seen / pictures in the training set
    trainable: int          # parameters
    head: nn.Module = None  # a layer after the vectors
    chosen: int = None      # step that the library's own validation chose; None: the last

    @torch.no_grad()
    def embed(self, images):
        "Unit vectors (n,d) float32."
        e = embed(self.model, images, tta=(), progress=False)
        if self.head is None: return e
        return F.normalize(self.head(torch.from_numpy(e)), dim=1).numpy()


class Stopwatch:
    "Process CPU time since it was made."
    def __init__(self, seconds):
        self.budget = seconds
        self.start = time.process_time()
        self.end = None

    def seconds(self): return (self.end or time.process_time()) - self.start
    def stop(self): self.end = time.process_time()
    def is_over(self): return self.seconds() >= self.budget


class Views(torch.utils.data.Dataset):
    "Pairs of a random view, uint8 (3,h,w), and a label; a new view at each access."
    def __init__(self, s, view):
        self.s = s
        self.view = view

    def __len__(self): return len(self.s)

    def __getitem__(self, i):
        im = load_image(self.s.paths[i], self.view.shorter)
        return self.view(im), int(self.s.labels[i])


class Trunk(nn.Module):
    "Bytes (b,3,h,w) to the CLS vectors (b,d) of the backbone, not normalised."
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model.backbone(self.model.normalize(x)).last_hidden_state[:, 0]


class Best:
    "The weights with the best score so far."
    def __init__(self, model):
        self.model = model
        self.score = -1
        self.step = None

    def offer(self, score, step):
        "Keep the present weights if they score higher."
        if score <= self.score: return
        self.score = score
        self.step = step
        self.weights = {n: p.detach().clone() for n, p in self.model.named_parameters()}

    def restore(self):
        "Put the best weights back, if any were scored."
        if self.step is not None: self.model.load_state_dict(self.weights, strict=False)


def set_seeds(seed):
    "Seed the three generators that the libraries draw from."
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def trainable(module):
    "The parameters that train."
    return [p for p in module.parameters() if p.requires_grad]


def count(module): return sum(p.numel() for p in trainable(module))


def choose_what_trains(backbone, setting):
    "All of a backbone, or the last two blocks and the final norm."
    if setting not in SETTINGS: raise ValueError(f"{setting!r}: choose {SETTINGS}")
    backbone.requires_grad_(setting == 'documented')
    for part in (*backbone.encoder.layer[-2:], backbone.layernorm):
        part.requires_grad_(True)


def load(model_name, setting):
    "A fresh model in which the parameters of the setting train."
    model = Embedder.from_pretrained(model_name)
    choose_what_trains(model.backbone, setting)
    return model


def vectors(model, s):
    "Unit vectors of a set's pictures for a validation within training."
    model.eval()
    return embed(model, s, tta=(), progress=False)


def finish(model, clock, steps, *, train_set, parts=None, **more):
    "What a trainer returns; `parts` trained instead of the model, if given."
    model.eval()
    epochs = steps*BATCH/len(train_set)
    return Trained(model, clock.seconds(), steps, epochs, count(parts or model), **more)


# ---- pytorch-metric-learning 2.9.0 --------------------------------------------------
# examples/notebooks/MetricLossOnly.ipynb (the notebook that docs/trainers.md names):
#   TripletMarginLoss(margin=0.1), MultiSimilarityMiner(epsilon=0.1),
#   MPerClassSampler(m=4, length_before_new_iter=len(train)), batch 32,
#   Adam(lr=1e-5, weight_decay=1e-4) for the trunk,
#   RandomResizedCrop(scale=(0.16, 1), ratio=(0.75, 1.33)), RandomHorizontalFlip(0.5),
#   validation after each epoch by mean_average_precision_at_r (HookContainer's
#   primary_metric), the best epoch kept.
# Not as there: no extra 64-d layer after the trunk (docs/trainers.md: "optionally"), no
# early stop (patience 1), so that the whole time is used; the unfinished last epoch is
# scored too.
# The rate is low for a small backbone; lr=1e-4 is the notebook's rate for its new layer.

class TimeIsUp(Exception):
    "Leaves a trainer between two steps."


def train_pml(model_name, train_set, valid_set, seconds, seed, setting='documented',
              lr=1e-5):
    "pytorch-metric-learning's MetricLossOnly."
    from pytorch_metric_learning import losses, miners, samplers, trainers
    set_seeds(seed)
    model = load(model_name, setting)
    view = TrainView(model.size, scale=(.16, 1.), ratio=(.75, 1.33))
    sampler = samplers.MPerClassSampler(train_set.labels, m=4,
                                        length_before_new_iter=len(train_set))
    optimizer = torch.optim.Adam(trainable(model), lr=lr, weight_decay=1e-4)
    best = Best(model)
    clock = Stopwatch(seconds)
    steps = 0

    def after_step(trainer):
        nonlocal steps
        steps += 1
        if clock.is_over(): raise TimeIsUp

    def validate(trainer=None):
        best.offer(map_at_r(vectors(model, valid_set), valid_set.labels), steps)

    trainer = trainers.MetricLossOnly(
        {'trunk': Trunk(model)}, {'trunk_optimizer': optimizer}, BATCH,
        {'metric_loss': losses.TripletMarginLoss(margin=.1)}, Views(train_set, view),
        mining_funcs={'tuple_miner': miners.MultiSimilarityMiner(epsilon=.1)},
        sampler=sampler, dataloader_num_workers=0, data_device=torch.device('cpu'),
        end_of_iteration_hook=after_step, end_of_epoch_hook=validate)
    try: trainer.train(num_epochs=10**6)
    except TimeIsUp: validate()
    best.restore()
    return finish(model, clock, steps, train_set=train_set, chosen=best.step)


def map_at_r(e, labels):
    "The library's default criterion for the best epoch, leave-one-out."
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    name = 'mean_average_precision_at_r'
    calculator = AccuracyCalculator(include=(name,), device=torch.device('cpu'))
    return calculator.get_accuracy(torch.from_numpy(e), torch.from_numpy(labels))[name]


# ---- sentence-transformers 6.2.0 ----------------------------------------------------
# SentenceTransformerTrainingArguments and transformers.TrainingArguments 5.24.0:
#   AdamW (fused), lr 5e-5, weight decay 0, linear fall to zero, no warm-up, gradient norm
#   clipped at 1, no validation, the last weights returned.
# BatchSemiHardTripletLoss: Euclidean distance, margin 5; its docs recommend
#   BatchSamplers.GROUP_BY_LABEL.
# Batch 32 as in its example for these losses (training_batch_hard_trec.py), where the
#   Trainer's default is 8.
# Views: its own image processor from the model folder (resize, centre crop, normalise).
#   No augmentation, since the trainer has none.
# The length of the schedule must be known beforehand: a pilot of some steps, which is not
# counted, measures how many fit into the time.

def train_st(model_name, train_set, valid_set, seconds, seed, setting='documented'):
    "sentence-transformers' trainer with BatchSemiHardTripletLoss."
    with tempfile.TemporaryDirectory() as folder:
        Embedder.from_pretrained(model_name).save_pretrained(folder)
        pilot = run_st(folder, train_set, seed, setting=setting, steps=8, seconds=1e9)
        per_step = (pilot.ends[-1] - pilot.ends[1])/(len(pilot.ends) - 2)
        n = max(int(seconds/per_step), 1)
        run = run_st(folder, train_set, seed, setting=setting, steps=n, seconds=seconds)
    model = load(model_name, setting)
    model.backbone.load_state_dict(run.backbone.state_dict())
    return finish(model, run.clock, len(run.ends), train_set=train_set)


@dataclass
class StRun:
    "One run of the trainer."
    backbone: nn.Module
    clock: Stopwatch   # stopped
    ends: list         # CPU time at the end of each step


def run_st(folder, train_set, seed, *, setting, steps, seconds):
    "Train a model folder for so many steps or seconds, whichever ends first."
    from datasets import Dataset, Image
    from sentence_transformers import (SentenceTransformer, SentenceTransformerTrainer,
                                       SentenceTransformerTrainingArguments)
    from sentence_transformers.losses import BatchSemiHardTripletLoss
    from sentence_transformers.training_args import BatchSamplers
    from transformers import PrinterCallback
    set_seeds(seed)
    st = SentenceTransformer(folder, device='cpu')
    backbone = st[0].auto_model
    choose_what_trains(backbone, setting)
    paths = [str(p) for p in train_set.paths]
    rows = {'image': paths, 'label': train_set.labels.tolist()}
    data = Dataset.from_dict(rows).cast_column('image', Image())
    args = SentenceTransformerTrainingArguments(
        folder, max_steps=steps, per_device_train_batch_size=BATCH, seed=seed,
        batch_sampler=BatchSamplers.GROUP_BY_LABEL, use_cpu=True, save_strategy='no',
        report_to='none', logging_strategy='no', disable_tqdm=True)
    clock = Stopwatch(seconds)
    ends = []
    trainer = SentenceTransformerTrainer(
        st, args, train_dataset=data, loss=BatchSemiHardTripletLoss(st),
        callbacks=[stop_at(clock, ends)])
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    clock.stop()
    return StRun(backbone, clock, ends)


def stop_at(clock, ends):
    "A callback that notes when each step ends and stops the trainer when time is up."
    from transformers import TrainerCallback
    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            ends.append(clock.seconds())
            control.should_training_stop |= clock.is_over()
    return Stop()


# ---- open-metric-learning 4.0.0 -----------------------------------------------------
# README, "Examples", and docs/readme/examples_source/extractor:
#   TripletLossWithMiner(0.1, HardTripletsMiner()), Adam(lr=1e-4), BalanceSampler, a plain
#   loop; ViTExtractor's CLS vector is not normalised (normalise_features: False, as for
#   all its DINO and DINOv2 weights).
# The README's sampler takes 2 classes x 2 pictures of a mock data set with a dozen; here
#   8 x 4 (fewer classes where the set has fewer), from pipelines/features_extraction/extractor_cub/train_cub.yaml.
# That file also validates every 5 of its epochs (each class once) and keeps the best
#   checkpoint by cmc@1; so does this. Its own rate there is 1e-5.
# RandomResizedCrop(scale=(0.2, 1)), RandomHorizontalFlip: augs_hypvit_torch of the
#   pipelines for SOP and InShop; the README's loop has no augmentation.
# BalanceSampler refuses classes of one picture: they are left out.

def train_oml(model_name, train_set, valid_set, seconds, seed, setting='documented',
              lr=1e-4):
    "open-metric-learning's loss, miner and sampler in the loop of its README."
    from oml.losses import TripletLossWithMiner
    from oml.miners import HardTripletsMiner
    from oml.samplers import BalanceSampler
    set_seeds(seed)
    model = load(model_name, setting)
    train_set = without_single(train_set)
    trunk = Trunk(model)
    optimizer = torch.optim.Adam(trainable(model), lr=lr)
    criterion = TripletLossWithMiner(.1, HardTripletsMiner(), need_logs=True)
    classes = min(8, len(np.unique(train_set.labels)))
    sampler = BalanceSampler(train_set.labels.tolist(), n_labels=classes,
                             n_instances=BATCH//classes)
    views = Views(train_set, TrainView(model.size, scale=(.2, 1.)))
    loader = torch.utils.data.DataLoader(views, batch_sampler=sampler)
    best = Best(model)
    clock = Stopwatch(seconds)
    steps = 0
    while not clock.is_over():
        for _ in range(5):
            steps += oml_epoch(trunk, loader, criterion, optimizer, clock=clock)
        scores = leave_one_out(vectors(model, valid_set), valid_set.labels, k=1)
        best.offer(scores.mean(), steps)
    best.restore()
    return finish(model, clock, steps, train_set=train_set, chosen=best.step)


def oml_epoch(trunk, loader, criterion, optimizer, *, clock):
    "One pass over the classes; returns the number of steps."
    trunk.train()
    steps = 0
    for x, labels in loader:
        if clock.is_over(): break
        loss = criterion(trunk(x), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        steps += 1
    return steps


def without_single(s):
    "The set without classes of one picture."
    counts = np.bincount(s.labels)
    return s.subset(np.flatnonzero(counts[s.labels] > 1))


# ---- a linear head on frozen vectors ------------------------------------------------
# Adam at torch's default of 1e-3; NormalizedSoftmaxLoss of pytorch-metric-learning 2.9.0
#   (Zhai and Wu 2019) at its default temperature of 0.05; batch 32.
# Up to 8 augmented views of each picture (TrainView's own crop and flip), at least one,
#   as many as fit into half the time; then up to 100 passes over these vectors. The best
#   pass on the validation pictures is kept, as one would, since they are embedded once.
# The backbone never trains, so both settings are the same.

def train_head(model_name, train_set, valid_set, seconds, seed, setting='documented',
               lr=1e-3):
    "A linear layer from the frozen vector to one of the same width, identity at first."
    from pytorch_metric_learning.losses import NormalizedSoftmaxLoss
    set_seeds(seed)
    model = Embedder.from_pretrained(model_name, trainable_layers=())
    model.requires_grad_(False)
    head = nn.Linear(model.dim, model.dim)
    nn.init.eye_(head.weight)
    nn.init.zeros_(head.bias)
    loss = NormalizedSoftmaxLoss(len(train_set.classes), model.dim)
    parts = nn.ModuleList([head, loss])
    optimizer = torch.optim.Adam(parts.parameters(), lr=lr)
    best = Best(head)
    clock = Stopwatch(seconds)
    held_out = torch.from_numpy(vectors(model, valid_set))
    x, y = frozen_views(model, train_set, clock=clock)
    steps = 0
    for _ in range(100):
        if clock.is_over(): break
        steps += head_pass(head, loss, optimizer, x=x, y=y, clock=clock)
        with torch.no_grad(): e = F.normalize(head(held_out), dim=1).numpy()
        best.offer(leave_one_out(e, valid_set.labels).mean(), steps)
    best.restore()
    return finish(model, clock, steps, train_set=train_set, parts=parts, head=head,
                  chosen=best.step)


@torch.no_grad()
def frozen_views(model, s, *, clock):
    "Vectors and labels of whole passes of random views, for half of the time at most."
    loader = torch.utils.data.DataLoader(Views(s, TrainView(model.size)), BATCH)
    x, y = [], []
    for done in range(8):
        if done and clock.seconds()*(done + 1)/done > clock.budget/2: break
        for images, labels in loader:
            x.append(model(model.normalize(images)))
            y.append(labels)
    return torch.cat(x), torch.cat(y)


def head_pass(head, loss, optimizer, *, x, y, clock):
    "One pass over the vectors; returns the number of steps."
    steps = 0
    for i in torch.randperm(len(x)).split(BATCH):
        if clock.is_over(): break
        loss(head(x[i]), y[i]).backward()
        optimizer.step()
        optimizer.zero_grad()
        steps += 1
    return steps


PEERS = {'pytorch-metric-learning': train_pml, 'sentence-transformers': train_st,
         'open-metric-learning': train_oml, 'linear head': train_head}
