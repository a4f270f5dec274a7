"""Official files: where they come from, and getting them.

``registry.toml`` holds the facts and :mod:`registry` reads them, each as a :mod:`download` whose fields have
:mod:`shapes`; :mod:`plan` says what a fetch would bring. :mod:`fetch` brings it: :mod:`present` looks at what is there,
:mod:`transfer` moves the bytes of one file (:mod:`requests` asks for them, :mod:`parts` knows what an earlier attempt
left) or :mod:`copying` those of a file in a mirror's folder, :mod:`verify` compares them with what is stated,
:mod:`unpack` takes members out of archives, and :mod:`placing` lets files take their names. :mod:`lock` remembers what
came.
"""
