# Every machine type of a cluster: one job times each on a node of its own. Then all are compared.


# Only machine types with a node that takes jobs; `show_cluster` gives the reason for all others.
rule cluster:
    default_target: True
    input:
        [str(layout.node_record(name)) for name in STANDINGS if not STANDINGS[name].why_not],


# The job on a node runs the whole package, so any edit starts it again. The run on the node then repeats only the
# steps that the edit concerns.
NODE_CODE = [
    *package_files(layout.PACKAGE, "**/*.py"),
    *package_files(layout.PACKAGE, "**/*.yaml"),
    *package_files(layout.TEMPLATES, "*"),
]

# Each type has a rule of its own, because in Snakemake all jobs of a rule must request the same kinds of resources.
for TYPE in MACHINE_TYPES:

    rule:
        name:
            f"time_type_{TYPE}"
        input:
            records=RECORDS,
            checkpoints=CHECKPOINTS,
            code=NODE_CODE,
        output:
            str(layout.node_record(TYPE)),
        log:
            str(layout.node_log(TYPE)),
        retries: 1
        resources:
            **resources_of(TYPE),
        params:
            type=json.dumps(MACHINE_TYPES[TYPE]),
            settings=json.dumps({key: config[key] for key in config if key != "cluster"}),
        shell:
            step(
                "node",
                "--type {params.type:q} --settings {params.settings:q} --output {output:q}",
            )
