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
    priority: len(JOBS) + 1
    resources:
        timing=1,
    shell:
        "python3 -m effdet_bench annotations --file {input.file:q} --photos {input.photos:q}"
        " --output {output:q} 2>&1 | tee {log} >&2"


rule reference:
    input:
        record=record_of,
        checkpoint=lambda wildcards: source_of(wildcards).path,
        photos=rules.photos.output,
        code=step_code("reference"),
    output:
        record=f"{RESULTS}/reference/{{model}}.json",
        detections=f"{RESULTS}/reference/{{model}}.csv",
        outputs=f"{RESULTS}/reference/{{model}}.npy",
    log:
        f"{RESULTS}/logs/reference/{{model}}.log",
    resources:
        timing=1,
    params:
        folder=os.path.dirname(PHOTOS[0]),
        first=min(len(PHOTOS), CONFIG["warmup"] + CONFIG["requests"]),
        threads=CONFIG["threads"],
        versions=versions(),
    shell:
        "python3 -m effdet_bench reference --record {input.record:q} --checkpoint {input.checkpoint:q}"
        " --photos {input.photos:q} --folder {params.folder:q} --first {params.first}"
        " --threads {params.threads} --output {output.record:q} 2>&1 | tee {log} >&2"
