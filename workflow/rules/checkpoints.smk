# Checkpoints: downloaded or synthesised, then verified. The module `sources` chooses for each model.
# These rules are local on a cluster too, because its profile gives no partition for them.
localrules:
    download_checkpoint,
    verify_checkpoints,


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
    threads: ALONE
    params:
        model=released_model,
    shell:
        step(
            "download",
            '--model {params.model} --mirror "$EFFDET_BENCH_MIRROR" --output {output:q}',
        )


# One step makes all, and one step verifies all, because importing PyTorch takes as long as either for one model.
SYNTHETIC = [source.path for source in SOURCES.values() if source.weights == "synthetic"]
if SYNTHETIC:

    localrules:
        synthesise_checkpoints,

    rule synthesise_checkpoints:
        input:
            photos=package_files(layout.SHIPPED_PHOTOS, "*.jpg"),
            code=step_code("checkpoints.synthetic"),
        output:
            SYNTHETIC,
        log:
            f"{layout.CHECKPOINTS}/logs/synthesise.log",
        priority: BEFORE_TIMING
        threads: ALONE
        params:
            ensemble=json.dumps(
                [one for one in ENSEMBLE if SOURCES[one["model"]].path in SYNTHETIC]
            ),
            photos=lambda wildcards, input: os.path.dirname(input.photos[0]),
            seed=CONFIG["seed"],
            versions=versions(),
        shell:
            step(
                "synthesise",
                "--ensemble {params.ensemble:q} --photos {params.photos:q} --seed {params.seed}",
                "--outputs {output:q}",
                python=KEEPING,
            )


rule verify_checkpoints:
    input:
        checkpoints=CHECKPOINTS,
        code=step_code("checkpoints.verify"),
    output:
        RECORDS,
    log:
        f"{layout.CHECKPOINTS}/logs/verify.log",
    priority: AT_ONCE
    threads: ALONE
    params:
        ensemble=json.dumps([one | expected(SOURCES[one["model"]]) for one in ENSEMBLE]),
        versions=versions(),
    shell:
        step(
            "verify",
            "--ensemble {params.ensemble:q} --files {input.checkpoints:q} --outputs {output:q}",
        )
