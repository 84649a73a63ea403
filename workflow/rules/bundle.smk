# A measured mode with all that is needed to deploy it. The user asks for it by name: snakemake --cores 1 bundle


rule bundle:
    input:
        manifest=rules.manifest.output,
        exports=[record for device in DEVICES for record in export_records(device, MODES[device])],
        checkpoints=CHECKPOINTS,
    log:
        ARCHIVE.logs / "bundle.log",
    params:
        results=lambda wildcards, input: os.path.dirname(input.manifest[0]),
        mode=CONFIG["bundle"],
        photos=os.path.dirname(PHOTOS[0]),
    shell:
        step(
            "bundle",
            "--results {params.results:q} --mode {params.mode:q} --exports {input.exports:q}",
            "--checkpoints {input.checkpoints:q} --photos {params.photos:q}",
        )
