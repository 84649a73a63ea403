# Checkpoints: downloaded or synthesised, then verified. `sources` decided which, for each model.
localrules:
    checkpoints,
    download_checkpoint,


def record_of(source):
    return f"checkpoints/verified/{source.model}.{source.weights}.json"


RECORDS = [record_of(source) for source in SOURCES.values()]
FILES = [source.path for source in SOURCES.values()]


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
        model=lambda wildcards: next(
            source.model for source in SOURCES.values() if Path(source.path).stem == wildcards.file
        ),
        mirror=CONFIG["mirror"],
    shell:
        "{STEP} download --model {params.model} --mirror {params.mirror:q}"
        " --output {output:q}"
        " 2>&1 | tee {log} >&2"


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
        photos=os.path.relpath(settings.SHIPPED_PHOTOS),
        versions=versions(),
    shell:
        "{STEP} synthesise --model {wildcards.model} --photos {params.photos:q}"
        " --seed {wildcards.seed} --output {output:q}"
        " 2>&1 | tee {log} >&2"


rule verify_checkpoint:
    input:
        checkpoint=lambda wildcards: SOURCES[wildcards.model].path,
        code=step_code("checkpoints.verify"),
    output:
        "checkpoints/verified/{model}.{weights}.json",
    log:
        "checkpoints/logs/verify/{model}.{weights}.log",
    resources:
        timing=1,
    params:
        why=lambda wildcards: SOURCES[wildcards.model].why,
        sha256=lambda wildcards: optional("--sha256", SOURCES[wildcards.model].sha256),
        bytes=lambda wildcards: optional("--bytes", SOURCES[wildcards.model].bytes),
        versions=versions(),
    shell:
        "{STEP} verify --model {wildcards.model} --weights {wildcards.weights}"
        " --why {params.why:q} --file {input.checkpoint:q} {params.sha256} {params.bytes}"
        " --output {output:q}"
        " 2>&1 | tee {log} >&2"
