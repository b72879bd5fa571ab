"`python -m dino_retrieval` is the command `dino`."
from dino_retrieval.cli import dino

dino()
