# Checkpoints: downloaded or synthesised, then verified. The module `sources` chooses for each model.
localrules:
    checkpoints,
    download_checkpoint,
    # local on a cluster too, because its profile gives no partition for these rules
    synthesise_checkpoint,
    verify_checkpoint,


rule checkpoints:
    input:
        RECORDS,


rule download_checkpoint:
    output:
        f"{layout.CHECKPOINTS}/{{file}}.pth",
    log:
        f"{layout.CHECKPOINTS}/logs/download/{{file}}.log",
    wildcard_constraints:
        file="|".join(Path(release.file).stem for release in RELEASE.values()),
    priority: AT_ONCE
    resources:
        timing=1,
    params:
        model=released_model,
    shell:
        step(
            "download",
            '--model {params.model} --mirror "$EFFDET_BENCH_MIRROR" --output {output:q}',
        )


rule synthesise_checkpoint:
    input:
        photos=package_files(layout.SHIPPED_PHOTOS, "*.jpg"),
        code=step_code("checkpoints.synthetic"),
    output:
        layout.synthetic_checkpoint("{model}", "{seed}"),
    log:
        f"{layout.CHECKPOINTS}/logs/synthesise/{{model}}-seed{{seed}}.log",
    priority: BEFORE_TIMING
    resources:
        timing=1,
    params:
        network=network_of,
        photos=lambda wildcards, input: os.path.dirname(input.photos[0]),
        versions=versions(),
    shell:
        step(
            "synthesise",
            "{params.network} --photos {params.photos:q} --seed {wildcards.seed}",
            "--output {output:q}",
        )


rule verify_checkpoint:
    input:
        checkpoint=lambda wildcards: source_of(wildcards).path,
        code=step_code("checkpoints.verify"),
    output:
        layout.checkpoint_record("{model}", "{weights}"),
    log:
        f"{layout.CHECKPOINTS}/logs/verify/{{model}}.{{weights}}.log",
    priority: AT_ONCE
    resources:
        timing=1,
    params:
        network=network_of,
        why=lambda wildcards: source_of(wildcards).why,
        expected=expected,
        versions=versions(),
    shell:
        step(
            "verify",
            "{params.network} --weights {wildcards.weights} --why {params.why:q}",
            "--file {input.checkpoint:q} {params.expected} --output {output:q}",
        )
