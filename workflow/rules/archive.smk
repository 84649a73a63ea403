# Results as an archive: the list of its files, and a zip file of it.


# Runs after everything that the report is made of. The manifest also lists old files of modes that were removed.
rule manifest:
    input:
        rules.report.output,
        rules.summary.output,
        job_files(layout.JOB_RECORD),
        code=step_code("archive.manifest"),
    output:
        ARCHIVE.manifest,
    log:
        ARCHIVE.logs / "manifest.log",
    threads: ALONE
    params:
        results=lambda wildcards, output: os.path.dirname(output[0]),
    shell:
        step("manifest", "--results {params.results:q}")


# The user asks for it by name. The date of the measurement, which is in the name of the file, is not known before.
rule archive:
    input:
        rules.manifest.output,
        measured_records(),
    log:
        ARCHIVE.logs / "archive.log",
    params:
        results=lambda wildcards, input: os.path.dirname(input[0]),
    shell:
        step("pack", "{params.results:q}")
