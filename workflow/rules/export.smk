# Networks exported to the formats of engines. Modes that need the same export share it.
# One step exports all models, because importing PyTorch takes as long as exporting one of them.
rule export_models:
    input:
        records=RECORDS,
        checkpoints=CHECKPOINTS,
        photos=package_files(layout.CALIBRATION_PHOTOS, "*.jpg"),
        code=lambda wildcards: step_code("export.export", engine=export_of(wildcards)["engine"]),
    output:
        exports_of("{export}"),
    log:
        layout.EXPORTS / "logs/{export}.log",
    priority: BEFORE_TIMING
    threads: ALONE
    params:
        engine=lambda wildcards: export_of(wildcards)["engine"],
        device=lambda wildcards: export_of(wildcards)["device"],
        options=lambda wildcards: json.dumps(export_of(wildcards)["options"]),
        photos=lambda wildcards, input: os.path.dirname(input.photos[0]),
        versions=lambda wildcards: modes.engine_versions(export_of(wildcards)["engine"]),
        python=lambda wildcards: export_of(wildcards)["python"] or "python3",
    shell:
        step(
            "export",
            "--engine {params.engine} --device {params.device} --options {params.options:q}",
            "--records {input.records:q} --checkpoints {input.checkpoints:q}",
            "--photos {params.photos:q} --outputs {output:q}",
            python="{params.python:q}",
        )


# A rule of its own, so that an edit of the check repeats no export, and therefore no timing.
rule check_exports:
    input:
        exports=rules.export_models.output,
        records=RECORDS,
        checkpoints=CHECKPOINTS,
        photos=rules.export_models.input.photos,
        code=step_code("export.check"),
    output:
        [layout.export_check(record) for record in exports_of("{export}")],
    log:
        layout.EXPORTS / "logs/{export}.check.log",
    priority: BEFORE_TIMING
    threads: ALONE
    params:
        photos=lambda wildcards, input: os.path.dirname(input.photos[0]),
        python=lambda wildcards: export_of(wildcards)["python"] or "python3",
    shell:
        step(
            "check_export",
            "--exports {input.exports:q} --records {input.records:q} --checkpoints {input.checkpoints:q}",
            "--photos {params.photos:q} --outputs {output:q}",
            python="{params.python:q}",
        )
