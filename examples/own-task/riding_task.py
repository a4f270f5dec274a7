"""Questions about images, in a CSV table."""

import csv

import numpy as np

from twelve.formats.data_root import image_key
from twelve.tasks.base import Defaults, Task, register
from twelve.types.examples import Example
from twelve.types.measurement import Measurement


@register
class Riding(Task):
    name, title = "riding", "Riding"  # its files are in the folder riding of the data root
    source = "mine"  # and its images in images/mine
    kind = "answer"  # what is asked: it decides on targets and predictions
    output = "answer"  # the head: tasks that name the same one share it, any new name is a head of its own
    defaults = Defaults(batch_size=5, learning_rate=1e-4, max_text=60)
    file_names = {"train": "train.csv", "test": "test.csv"}
    test_split = "test"
    held_out_splits = {"test": ("test",)}
    scoring_protocols = {}  # there is no format of result files

    def read(self, root, split):
        with root.file(self.name, *self.files(split)).open(encoding="utf-8", newline="") as table:
            _, *rows = csv.reader(table)  # the first line names the columns
        examples = []
        for number, (photo, question, answer) in enumerate(rows, 1):
            image = f"{root.image_source(self)}/{image_key(photo)}"  # 00.jpg -> mine/00
            facts = {"label": answer}  # the answer that the vocabulary counts
            examples.append(Example(str(number), question, (image,), {answer: 1.0}, group=image, facts=facts))
        return examples

    def measure(self, examples, predictions):
        right = np.array([float(p.value in e.target) for e, p in zip(examples, predictions, strict=True)])
        return Measurement("accuracy", {"accuracy": 100 * right.mean()}, right, [e.group for e in examples])
