# Checkpoints: downloaded or synthesised, then verified. `sources` decided which, for each model.
localrules:
    checkpoints,
    download_checkpoint,


rule checkpoints:
    input:
        RECORDS,


rule download_checkpoint:
    output:
        "checkpoints/{file}.pth",
    log:
        "checkpoints/logs/download/{file}.log",
    wildcard_constraints:
        file="|".join(Path(release.file).stem for release in RELEASE.values()),
    resources:
        timing=1,
    params:
        model=released_model,
    shell:
        'python3 -m effdet_bench download --model {params.model} --mirror "$EFFDET_BENCH_MIRROR"'
        " --output {output:q} 2>&1 | tee {log} >&2"


rule synthesise_checkpoint:
    input:
        photos=[os.path.relpath(path) for path in list_photos(settings.SHIPPED_PHOTOS)],
        code=step_code("checkpoints.synthetic"),
    output:
        "checkpoints/synthetic/{model}-seed{seed}.pth",
    log:
        "checkpoints/logs/synthesise/{model}-seed{seed}.log",
    resources:
        timing=1,
    params:
        network=network_of,
        photos=lambda wildcards, input: os.path.dirname(input.photos[0]),
        versions=versions(),
    shell:
        "python3 -m effdet_bench synthesise {params.network} --photos {params.photos:q}"
        " --seed {wildcards.seed} --output {output:q} 2>&1 | tee {log} >&2"


rule verify_checkpoint:
    input:
        checkpoint=lambda wildcards: source_of(wildcards).path,
        code=step_code("checkpoints.verify"),
    output:
        "checkpoints/verified/{model}.{weights}.json",
    log:
        "checkpoints/logs/verify/{model}.{weights}.log",
    resources:
        timing=1,
    params:
        network=network_of,
        why=lambda wildcards: source_of(wildcards).why,
        expected=expected,
        versions=versions(),
    shell:
        "python3 -m effdet_bench verify {params.network} --weights {wildcards.weights}"
        " --why {params.why:q} --file {input.checkpoint:q} {params.expected} --output {output:q}"
        " 2>&1 | tee {log} >&2"
