"""One module per engine, each with `load(models, device)`; see `effdet_bench.engine`."""
