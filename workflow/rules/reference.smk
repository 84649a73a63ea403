# What answers are judged against: the photos, and what upstream effdet makes of them.
rule photos:
    input:
        photos=PHOTOS,
        code=step_code("photos"),
    output:
        f"{RESULTS}/photos.json",
    log:
        f"{RESULTS}/logs/photos.log",
    resources:
        timing=1,
    params:
        folder=lambda wildcards, input: os.path.dirname(input.photos[0]),
    shell:
        "python3 -m effdet_bench photos --folder {params.folder:q} --output {output:q}"
        " 2>&1 | tee {log} >&2"


# Ahead of all timing, so that annotations of other photos are refused before hours of it.
rule annotations:
    input:
        file=CONFIG["annotations"] or [],
        photos=rules.photos.output,
        code=step_code("annotations"),
    output:
        ANNOTATIONS,
    log:
        f"{RESULTS}/logs/annotations.log",
    priority: len(ROUNDS) + 1
    resources:
        timing=1,
    shell:
        "python3 -m effdet_bench annotations --file {input.file:q} --photos {input.photos:q}"
        " --output {output:q} 2>&1 | tee {log} >&2"


rule reference:
    input:
        records=RECORDS,
        checkpoints=[source.path for source in SOURCES.values()],
        photos=rules.photos.output,
        code=step_code("reference"),
    output:
        records=REFERENCES,
        detections=[path.replace(".json", ".csv") for path in REFERENCES],
        outputs=[path.replace(".json", ".npy") for path in REFERENCES],
    log:
        f"{RESULTS}/logs/reference.log",
    resources:
        timing=1,
    params:
        folder=os.path.dirname(PHOTOS[0]),
        first=min(len(PHOTOS), CONFIG["warmup"] + CONFIG["requests"]),
        threads=CONFIG["threads"],
        versions=versions(),
        output=lambda wildcards, output: os.path.dirname(output.records[0]),
    shell:
        "python3 -m effdet_bench reference --records {input.records:q}"
        " --checkpoints {input.checkpoints:q} --photos {input.photos:q} --folder {params.folder:q}"
        " --first {params.first} --threads {params.threads} --output {params.output:q}"
        " 2>&1 | tee {log} >&2"
