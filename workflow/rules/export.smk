# Networks exported to the formats of engines. Modes that need the same export share it.
rule export_model:
    input:
        record=record_of,
        checkpoint=lambda wildcards: source_of(wildcards).path,
        photos=package_files(layout.CALIBRATION_PHOTOS, "*.jpg"),
        code=lambda wildcards: step_code(
            "export.export", f"engines.{export_of(wildcards)['engine']}"
        ),
    output:
        layout.export_record("{export}", "{model}", "{weights}"),
    log:
        layout.EXPORTS / "logs/{export}/{model}.{weights}.log",
    priority: BEFORE_TIMING
    resources:
        timing=1,
    params:
        engine=lambda wildcards: export_of(wildcards)["engine"],
        device=lambda wildcards: export_of(wildcards)["device"],
        threads=CONFIG["threads"],
        options=lambda wildcards: json.dumps(export_of(wildcards)["options"]),
        photos=lambda wildcards, input: os.path.dirname(input.photos[0]),
        versions=lambda wildcards: modes.engine_versions(export_of(wildcards)["engine"]),
        python=lambda wildcards: export_of(wildcards)["python"] or "python3",
    shell:
        step(
            "export",
            "--engine {params.engine} --device {params.device} --options {params.options:q}",
            "--threads {params.threads} --record {input.record:q}",
            "--checkpoint {input.checkpoint:q} --photos {params.photos:q} --output {output:q}",
            python="{params.python:q}",
        )


# A rule of its own, so that an edit of the check repeats no export, and therefore no timing.
rule check_export:
    input:
        export=rules.export_model.output,
        record=record_of,
        checkpoint=lambda wildcards: source_of(wildcards).path,
        photos=rules.export_model.input.photos,
        code=step_code("export.check"),
    output:
        layout.export_check(layout.export_record("{export}", "{model}", "{weights}")),
    log:
        layout.EXPORTS / "logs/{export}/{model}.{weights}.check.log",
    priority: BEFORE_TIMING
    resources:
        timing=1,
    params:
        threads=CONFIG["threads"],
        photos=lambda wildcards, input: os.path.dirname(input.photos[0]),
        python=lambda wildcards: export_of(wildcards)["python"] or "python3",
    shell:
        step(
            "check_export",
            "--export {input.export:q} --threads {params.threads} --record {input.record:q}",
            "--checkpoint {input.checkpoint:q} --photos {params.photos:q} --output {output:q}",
            python="{params.python:q}",
        )
