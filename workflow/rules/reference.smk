# The photos, and upstream effdet's answers to them, by which modes are judged.
rule photos:
    input:
        photos=PHOTOS,
        code=step_code("facts.photos"),
    output:
        record=ARCHIVE.photos,
        thumbnails=THUMBNAILS,
    log:
        ARCHIVE.logs / "photos.log",
    priority: AT_ONCE
    threads: ALONE
    params:
        folder=lambda wildcards, input: os.path.dirname(input.photos[0]),
        thumbnails=ARCHIVE.thumbnails,
    shell:
        step(
            "photos",
            "--folder {params.folder:q} --output {output.record:q}",
            "--thumbnails {params.thumbnails:q}",
        )


rule annotations:
    input:
        file=CONFIG["annotations"] or [],
        photos=rules.photos.output.record,
        code=step_code("reference.annotations"),
    output:
        ARCHIVE.annotations,
    log:
        ARCHIVE.logs / "annotations.log",
    priority: AT_ONCE
    threads: ALONE
    shell:
        step("annotations", "--file {input.file:q} --photos {input.photos:q} --output {output:q}")


rule reference:
    input:
        records=RECORDS,
        checkpoints=CHECKPOINTS,
        photos=rules.photos.output.record,
        # Timing, not this rule, runs reference.output_errors. Snakemake does not repeat timing for a changed file on which
        # its ancient inputs, the checks of exports, also depend. But it repeats timing after a changed reference.
        code=step_code("reference.reference", "reference.output_errors"),
    output:
        records=REFERENCES,
        detections=[layout.reference_detections(record) for record in REFERENCES],
        inputs=[layout.reference_inputs(record) for record in REFERENCES],
        outputs=[layout.reference_outputs(record) for record in REFERENCES],
    log:
        ARCHIVE.logs / "reference.log",
    priority: BEFORE_TIMING
    threads: ALONE
    params:
        folder=os.path.dirname(PHOTOS[0]),
        first=FIRST,
        threads=CONFIG["threads"],
        versions=versions(),
        output=lambda wildcards, output: os.path.dirname(output.records[0]),
    shell:
        step(
            "reference",
            "--records {input.records:q} --checkpoints {input.checkpoints:q}",
            "--photos {input.photos:q} --folder {params.folder:q} --first {params.first}",
            "--threads {params.threads} --output {params.output:q}",
        )


# A rule of its own, so that an edit of the emulation runs the gate again but no timing.
rule rounding:
    input:
        references=REFERENCES,
        records=RECORDS,
        checkpoints=CHECKPOINTS,
        code=step_code("reference.rounding"),
    output:
        ROUNDINGS,
        ROUNDING_TABLES,
    log:
        ARCHIVE.logs / "rounding.log",
    threads: ALONE
    params:
        folder=os.path.dirname(PHOTOS[0]),
        precisions=PRECISIONS,
        threads=CONFIG["threads"],
        versions=versions(),
    shell:
        step(
            "rounding",
            "--references {input.references:q} --records {input.records:q}",
            "--checkpoints {input.checkpoints:q} --folder {params.folder:q}",
            "--precisions {params.precisions} --threads {params.threads}",
            python=KEEPING,
        )
