# Accuracy passes: every mode answers every annotated photo once. They follow the timings.
rule accuracy_reference:
    input:
        records=RECORDS,
        checkpoints=CHECKPOINTS,
        photos=rules.photos.output.record,
        code=step_code("accuracy.upstream"),
    output:
        ARCHIVE.reference_pass / layout.PASS_RECORD,
    log:
        ARCHIVE.logs / "accuracy/reference.log",
    threads: ALONE
    params:
        folder=os.path.dirname(PHOTOS[0]),
        threads=CONFIG["threads"],
        versions=versions(),
        results=ARCHIVE.root,
    shell:
        step(
            "accuracy_reference",
            "--records {input.records:q} --checkpoints {input.checkpoints:q}",
            "--photos {input.photos:q} --folder {params.folder:q}",
            "--threads {params.threads} --results {params.results:q}",
        )


rule accuracy_pass:
    input:
        # those of `load_mode`, and the record of all photos
        records=RECORDS,
        checkpoints=CHECKPOINTS,
        photos=rules.photos.output.record,
        references=REFERENCES,
        exports=lambda wildcards: export_records(wildcards.device, [wildcards.mode]),
        checks=lambda wildcards: [
            layout.export_check(record)
            for record in export_records(wildcards.device, [wildcards.mode])
        ],
        code=lambda wildcards: step_code(
            "accuracy.passes", "load.instance", engine=MODE[wildcards.mode]["engine"]
        ),
    output:
        ARCHIVE.accuracy_pass("{device}", "{mode}") / layout.PASS_RECORD,
    log:
        ARCHIVE.logs / "accuracy/{device}-{mode}.log",
    threads: ALONE
    params:
        machine=CONFIG["machine"],
        mode=lambda wildcards: json.dumps(
            MODE[wildcards.mode] | {"depends": answers_depend(wildcards.device, wildcards.mode)}
        ),
        threads=CONFIG["threads"],
        folder=os.path.dirname(PHOTOS[0]),
        first=FIRST,
        results=ARCHIVE.root,
    shell:
        step(
            "accuracy_pass",
            "--machine {params.machine} --device {wildcards.device} --mode {params.mode:q}",
            "--warmup 1 --threads {params.threads} --photos {params.folder:q}",
            "--first {params.first} --every {input.photos:q} --records {input.records:q}",
            "--checkpoints {input.checkpoints:q} --references {input.references:q}",
            "--exports {input.exports:q} --results {params.results:q}",
        )


rule measure_reference:
    input:
        record=rules.accuracy_reference.output,
        records=RECORDS,
        annotations=rules.annotations.output,
        code=step_code("accuracy.measure"),
    output:
        ARCHIVE.reference_pass / layout.ACCURACY,
    log:
        ARCHIVE.logs / "accuracy/measured-reference.log",
    threads: ALONE
    params:
        folder=os.path.dirname(PHOTOS[0]),
        passes=ARCHIVE.reference_pass,
        results=ARCHIVE.root,
    shell:
        step(
            "measure",
            "--records {input.records:q} --passes {params.passes:q}",
            "--photos {params.folder:q} --results {params.results:q}",
        )


rule measure_pass:
    input:
        record=rules.accuracy_pass.output,
        expected=rules.accuracy_reference.output,
        records=RECORDS,
        annotations=rules.annotations.output,
        code=step_code("accuracy.measure"),
    output:
        ARCHIVE.accuracy_pass("{device}", "{mode}") / layout.ACCURACY,
    log:
        ARCHIVE.logs / "accuracy/measured-{device}-{mode}.log",
    threads: ALONE
    params:
        folder=os.path.dirname(PHOTOS[0]),
        passes=lambda wildcards: ARCHIVE.accuracy_pass(wildcards.device, wildcards.mode),
        results=ARCHIVE.root,
    shell:
        step(
            "measure",
            "--records {input.records:q} --passes {params.passes:q}",
            "--photos {params.folder:q} --results {params.results:q}",
        )
