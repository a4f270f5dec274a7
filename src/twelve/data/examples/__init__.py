"""The example store: millions of examples from official files, in little memory, opened at once.

Official files are JSON of up to gigabytes. Small ones are read into a list of :class:`twelve.types.examples.Example`
at every start. Of large ones, each split is read once into a folder of Apache Arrow files, which every later start maps
into memory; the processes of a run share the mapped pages::

    reading.py    read_examples(task, root, split): a list, or Examples from the cache; progress of reading many splits
    cache.py      finds the folder of a split by a hash of everything that decides what the reader returns: the bytes of
                  its files, task and split, the source of its images, and this package's source code
    store.py      writes and opens a folder; Examples, a sequence that builds an example when it is asked for one
    codec.py      values of examples as text and back
    columns.py    operations on all examples at once: take some, find distinct images, count answers

A folder holds ``rows.arrow``, with one row for each example: its id, its text and, for every other field, the number of
its value in ``values.arrow``. A value that many examples have (an answer, the image of several questions) is written
once and decoded once, so the functions of columns.py visit each distinct value once. Memory does not grow with the
number of examples, neither while writing nor while reading. ``entry.json`` holds the checksums of both files: a damaged
entry is never used, but written again.
"""
