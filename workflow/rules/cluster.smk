# Every machine type of a cluster, each by one job on a node of its own, and the comparison of all.
localrules:
    cluster,


# Of those alone whose nodes take jobs; `show_cluster` says of the others why not.
rule cluster:
    input:
        [str(layout.node_record(name)) for name in STANDINGS if not STANDINGS[name].why_not],


# What runs on a node is all of the package; each run there knows what an edit concerns.
NODE_CODE = [
    *package_files(layout.PACKAGE, "**/*.py"),
    *package_files(layout.PACKAGE, "**/*.yaml"),
    *package_files(layout.TEMPLATES, "*"),
]

# For each a rule of its own, as Snakemake knows no resource that some jobs of a rule ask for.
for TYPE in MACHINE_TYPES:

    rule:
        name:
            f"time_type_{TYPE}"
        input:
            records=RECORDS,
            checkpoints=[source.path for source in SOURCES.values()],
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
