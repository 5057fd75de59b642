#!/usr/bin/env python3
"""Trains every method on every split with several seeds, and writes the table of results.

    python tools/results.py --voc DIR --camvid DIR --embeddings DIR --backbones DIR --out DIR

Needs a release build of the command (`cargo build --release`), the two data sets, the word
vectors and `tools/export_backbones.py`'s networks. Nothing else is downloaded. Features,
runs and scores are kept under OUT: what is there is not made again, so that the script can
be stopped and started. `--only TEXT` runs the configurations whose name contains TEXT.
The table has whatever is done so far.
"""

import argparse
import dataclasses
import json
import statistics
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

ABSENT = "aeroplane bicycle bird boat bus diningtable motorbike train".split()
SPLITS = {
    "voc": [["cow", "sofa"], ["cow", "cat"], ["sheep", "dog", "tvmonitor"]],
    "camvid": [["Bicyclist", "Fence"], ["Pedestrian", "Pavement"]],
}
LISTS = {"voc": (["train", "train_extra"], ["val"]), "camvid": (["train"], ["test"])}
# Nearly every frame of CamVid shows nearly every class.
SETTINGS = {"voc": "zero-shot", "camvid": "zero-label"}
TAPS = {
    "lite0": ["block4/add", "block10/add", "block15/project"],
    "vit_s": ["tokens", "middle"],
}
BACKBONES = {"lite0": ["lite0"], "vit_s": ["vit_s"], "both": ["lite0", "vit_s"]}
# Backbones whose training features are also those of mirrored pictures. The others cost ten
# times as much a picture.
MIRRORED = ["lite0"]
STRICT = "STRICT (transductive)"
GAMMAS = [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8]
DECODER = "decoder"
# COCO-Stuff's classes that are things come first.
COCO_THINGS = 80


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table."""

    name: str
    method: str
    settings: str = ""
    # Folds in which gamma is chosen on held-out seen classes.
    folds: int = 0
    # Whether classes are known by CLIP's text vectors instead of word vectors.
    is_clip: bool = False
    # Whether masks fused with segments of the transformer's tokens are measured as well.
    is_fused: bool = False


ROWS = [
    Row("ridge", "ridge", 'form = "prototypes"\nrow_lambda = 0.03', folds=5),
    Row("softmax, unseen rows by ridge", "supervised",
        "project_rows = true\nrow_lambda = 0.03", folds=5, is_fused=True),
    Row("SPNet", "spnet"),
    Row("SPNet with gamma", "spnet", folds=3),
    Row("ZS3Net", "zs3net", folds=2),
    Row("ZS3Net + graph context", "zs3net-graph", folds=2),
    Row("ZS5Net (transductive)", "zs5net"),
    Row("SPNet + plain self-training (transductive)", "strict", "views = 1"),
    Row(STRICT, "strict"),
    Row("ZS-MMD (transductive, reconstruction)", "zs-mmd"),
    Row("SAZS, CLIP's text vectors", "sazs", "epochs = 6", folds=2, is_clip=True,
        is_fused=True),
]
LABEL_SHARES = [1.0, 0.2, 0.05]
SEEN_ONLY = Row("seen-only head", "supervised")
ALL_LABELS = Row("all labels", "supervised", is_fused=True)
FUSED_ROWS = [row for row in [ALL_LABELS, *ROWS] if row.is_fused]
SEGMENTS_FROM = "vit_s"


@dataclasses.dataclass(frozen=True)
class Case:
    """What a row is trained on."""

    data: str
    unseen: tuple[str, ...]
    backbone: str
    decoder: bool = False

    @property
    def name(self) -> str:
        parts = [self.data, "+".join(self.unseen) or "all", self.backbone]
        return "_".join(parts + [DECODER] * self.decoder)

    @property
    def is_mirrored(self) -> bool:
        return self.backbone in MIRRORED


class Results:
    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.roots = {"voc": args.voc, "camvid": args.camvid}
        self.out = args.out
        self.clip_table = self.make_clip_table()

    def data(self, name: str, lists: list[str]) -> str:
        layout, void = ("folder", "void = [255]\n") if name == "voc" else ("camvid", "")
        return (
            f'layout = "{layout}"\nroot = "{self.roots[name].resolve()}"\n'
            f"lists = {json.dumps(lists)}\n{void}"
        )

    def store(self, data: str, network: str, part: int, is_mirrored: bool) -> Path:
        plain = "" if is_mirrored or part == 1 else "_plain"
        return self.out / f"{data}_{network}{plain}_{part}.st"

    def make_store(self, data: str, network: str, part: int, is_mirrored: bool) -> None:
        """Runs the network over what is missing."""
        path = self.store(data, network, part, is_mirrored)
        lists = LISTS[data][part]
        options = ["--layout", "camvid"] if data == "camvid" else ["--void", "255"]
        options += ["--view", "flip"] if part == 0 and is_mirrored else []
        for tap in TAPS[network]:
            options += ["--tap", tap]
        for name in lists:
            options += ["--list", name]
        onnx = self.args.backbones / f"{network}.onnx"
        self.zsseg(
            "features", onnx, "--config", onnx.with_suffix(".toml"), "--data",
            self.roots[data], *options, "--threads", "2", "--quiet", "-o", path,
        )

    def zsseg(self, *arguments) -> None:
        command = [str(self.args.zsseg), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{done.stderr.strip()}")

    def tables(self, data: str) -> str:
        spnet = self.args.embeddings / "spnet"
        if data == "voc":
            files = [spnet / "voc21_fasttext300.npy", spnet / "voc21_word2vec300.npy"]
            aliases = 'aliases = "voc"'
        else:
            files = [self.args.embeddings / "glove6b_50d/glove6b50_top20k_f16.npy"]
            aliases = 'aliases = { SignSymbol = "sign" }'
        entries = [f'{{ format = "npy", file = "{path.resolve()}" }}' for path in files]
        return f"tables = [{', '.join(entries)}]\nnormalize = true\n{aliases}\n"

    def make_clip_table(self) -> Path:
        """Writes CLIP's vectors of VOC's classes, background as the mean of COCO's stuff."""
        path = self.out / "clip_voc.npy"
        folder = self.args.embeddings / "clip_vitb16_text"
        names = (folder / "voc20_single_f16.txt").read_text(encoding="utf-8").split("\n")
        objects = np.load(folder / "voc20_single_f16.npy").astype(np.float32)
        stuff = np.load(folder / "cocostuff171_single_f16.npy").astype(np.float32)[COCO_THINGS:]
        stuff /= np.linalg.norm(stuff, axis=1, keepdims=True)
        np.save(path, np.vstack([objects, stuff.mean(0)]))
        names = [name.strip() for name in names if name.strip()] + ["background"]
        path.with_suffix(".txt").write_text("\n".join(names) + "\n", encoding="utf-8")
        return path

    def embeddings(self, case: Case, row: Row) -> str:
        if not row.is_clip:
            return self.tables(case.data)
        table = f'{{ format = "npy", file = "{self.clip_table.resolve()}" }}'
        return f"tables = [{table}]\nnormalize = true\n"

    def config(self, case: Case, row: Row, unseen: tuple[str, ...]) -> str:
        networks = BACKBONES[case.backbone]
        stores = [
            [
                str(self.store(case.data, network, part, case.is_mirrored).resolve())
                for network in networks
            ]
            for part in (0, 1)
        ]
        ignored = ABSENT if case.data == "voc" else []
        parts = [
            f"threads = 1\n[data]\n{self.data(case.data, LISTS[case.data][0])}",
            f"[validation]\n{self.data(case.data, LISTS[case.data][1])}",
            f"[classes]\nunseen = {json.dumps(unseen)}\nignored = {json.dumps(ignored)}\n"
            f'setting = "{SETTINGS[case.data]}"',
            f"[features]\nstores = {json.dumps(stores[0])}\n"
            f"validation_stores = {json.dumps(stores[1])}\ngrid = [32, 32]",
            f"[embeddings]\n{self.embeddings(case, row)}",
            f"[method]\n{row.settings}",
            f"[evaluation]\ngammas = {json.dumps(GAMMAS)}",
        ]
        if self.is_fused(case, row):
            tokens = self.store(case.data, SEGMENTS_FROM, 1, is_mirrored=False).resolve()
            parts.append(
                f'[evaluation.fusion]\nstores = ["{tokens}"]\ntap = "{TAPS[SEGMENTS_FROM][0]}"'
            )
        if case.decoder:
            model = self.run(dataclasses.replace(case, decoder=False), DECODER_ROW, 1)
            parts[3] += f'\ndecoder = "{(model / "model.safetensors").resolve()}"'
        if row.folds:
            parts.append(
                f"[hold_out]\nfolds = {row.folds}\n[hold_out.measure]\n"
                f"space = \"logits\"\ngammas = {json.dumps(GAMMAS)}"
            )
        return "\n".join(parts) + "\n"

    def is_fused(self, case: Case, row: Row) -> bool:
        tokens = self.store(case.data, SEGMENTS_FROM, 1, is_mirrored=False)
        return row.is_fused and case.backbone == "lite0" and tokens.exists()

    def run(self, case: Case, row: Row, seed: int) -> Path:
        """Returns the folder of a finished run."""
        name = f"{case.name}/{row.name.replace(' ', '-')}/{seed}"
        folder = self.out / "runs" / name
        if (folder / "metrics.json").exists():
            return folder
        if self.args.only and self.args.only not in name:
            raise LookupError(name)
        unseen = () if row == ALL_LABELS else case.unseen
        folder.parent.mkdir(parents=True, exist_ok=True)
        config = folder.parent / "config.toml"
        config.write_text(self.config(case, row, unseen), encoding="utf-8")
        resume = ["--resume"] if (folder / "config.toml").exists() else []
        self.zsseg(
            "train", row.method, "--config", config, "--seed", seed, "-o", folder,
            "--quiet", *resume,
        )
        print(name, flush=True)
        return folder

    def metrics(self, case: Case, row: Row, seed: int) -> dict | None:
        path = self.out / "runs" / f"{case.name}/{row.name.replace(' ', '-')}/{seed}/metrics.json"
        if not path.exists():
            return None
        return json.loads(path.read_text(encoding="utf-8"))["validation"]

    def found(self, case: Case, row: Row) -> list[dict]:
        """Returns the scores of the seeds that are done."""
        metrics = [self.metrics(case, row, seed) for seed in self.seeds()]
        return [one["scores"] for one in metrics if one]

    def reference(self, case: Case) -> tuple[float, float] | None:
        """Returns the seen-only head's seen mIoU and the unseen mIoU with all labels."""
        seen = self.found(case, SEEN_ONLY)
        whole = self.found(case, ALL_LABELS)
        if not seen or not whole:
            return None
        of_class = [
            statistics.mean(c["iou"] for c in scores["classes"] if c["name"] in case.unseen)
            for scores in whole
        ]
        return statistics.mean(s["seen"]["mean_iou"] for s in seen), statistics.mean(of_class)

    def seeds(self) -> range:
        return range(1, self.args.seeds + 1)

    def few_labels(self, case: Case) -> list[str]:
        """Returns the table of the decoder with all classes seen and few labels."""
        lines = [
            f"### {case.data}: a decoder over {case.backbone}, all classes seen, few labels",
            "",
            "| labels | seeds | contrastive, then cross-entropy | cross-entropy alone |",
            "|---|---|---|---|",
        ]
        for share in LABEL_SHARES:
            both = [self.found(case, few(share, steps)) for steps in (None, 0)]
            if not all(both):
                continue
            means = [spread([one["all"]["mean_iou"] for one in found]) for found in both]
            seeds = min(map(len, both))
            lines.append(f"| {share:.0%} | {seeds} | {' | '.join(means)} |")
        return [*lines, ""] if len(lines) > 4 else []

    def fusions(self, case: Case) -> list[str]:
        """Returns the table of masks fused with segments."""
        lines = []
        for row in FUSED_ROWS:
            metrics = [self.metrics(case, row, seed) for seed in self.seeds()]
            fused = [one["fusion"]["rules"] for one in metrics if one and one.get("fusion")]
            for same in zip(*fused):
                whole = [means_of(one["scores"], case.unseen) for one in same]
                near = [means_of(one["near_borders"], case.unseen) for one in same]
                cells = [spread(values) for values in [*zip(*whole), *zip(*near)]]
                lines.append(f"| {row.name} | {same[0]['rule']} | {len(same)} | {' | '.join(cells)} |")
        if not lines:
            return []
        return [
            "Fused with segments of the transformer's tokens; on the right only pixels near borders:",
            "",
            "| | rule | seeds | seen | unseen | H | seen | unseen | H |",
            "|---|---|---|---|---|---|---|---|---|",
            *lines,
            "",
        ]

    def table(self, case: Case) -> list[str]:
        if not case.unseen:
            return self.few_labels(case)
        reference = self.reference(case)
        if reference is None:
            return []
        seen_only, ceiling = reference
        lines = [
            f"### {case.data}: {', '.join(case.unseen)} unseen, {case.backbone}"
            + (" with the decoder" if case.decoder else ""),
            "",
            f"Seen-only head {seen_only:.3f}; unseen classes with all labels {ceiling:.3f}.",
            "",
            "| | seeds | seen | unseen | H | unseen / all labels | seen / seen-only |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in ROWS:
            found = self.found(case, row)
            if not found:
                continue
            seen, unseen, harmonic = zip(*(means_of(scores, case.unseen) for scores in found))
            cells = [str(len(found)), *map(spread, (seen, unseen, harmonic))]
            ratios = [
                f"{statistics.mean(unseen) / ceiling:.2f}",
                f"{statistics.mean(seen) / seen_only:.2f}",
            ]
            lines.append(f"| {row.name} | {' | '.join(cells + ratios)} |")
        return [*lines, "", *self.fusions(case)]


def rows_of(case: Case) -> list[Row]:
    """Returns what a case is trained by."""
    if not case.unseen:
        return [few(share, steps) for share in LABEL_SHARES for steps in (None, 0)]
    rows = [SEEN_ONLY, ALL_LABELS, *ROWS]
    return [row for row in rows if can_run(case, row)]


def can_run(case: Case, row: Row) -> bool:
    # CLIP's vectors at hand have no names of roads.
    if row.is_clip and case.data != "voc":
        return False
    # STRICT compares views.
    return row.name != STRICT or case.is_mirrored


def few(share: float, pretrain_steps: int | None) -> Row:
    """Returns the decoder trained with a share of the labels, with or without contrasts."""
    name = "contrastive" if pretrain_steps is None else "cross-entropy"
    settings = f"label_share = {share}\n"
    settings += "" if pretrain_steps is None else f"pretrain_steps = {pretrain_steps}\n"
    return Row(f"{name}, {share:.0%} of the labels", "contrastive", settings)


DECODER_ROW = Row("contrastive pre-training", "contrastive")


def means_of(scores: dict, unseen: tuple[str, ...]) -> tuple[float, float, float]:
    """Returns mIoU of other classes and of `unseen`, and their harmonic mean."""
    counted = [one for one in scores["classes"] if one["iou"] is not None]
    of = [
        statistics.mean(one["iou"] for one in counted if (one["name"] in unseen) == is_unseen)
        for is_unseen in (False, True)
    ]
    return *of, statistics.harmonic_mean(of)


def spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.3f}"
    return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean


def cases() -> list[Case]:
    cases = [
        Case(data, tuple(unseen), backbone, decoder)
        for backbone in BACKBONES
        for decoder in (False, True)
        for data, splits in SPLITS.items()
        for unseen in splits
    ]
    return [*cases, Case("voc", (), "lite0")]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    for name in ("voc", "camvid", "embeddings", "backbones", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--zsseg", type=Path, default=Path("target/release/zsseg"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", help="part of a configuration's name")
    parser.add_argument("--table", type=Path, default=Path("docs/results.md"))
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    results = Results(args)
    wanted = [
        (case, row, seed)
        for seed in results.seeds()
        for case in cases()
        for row in rows_of(case)
        if not args.only or args.only in f"{case.name}/{row.name.replace(' ', '-')}/{seed}"
    ]
    stores = {
        (case.data, network, part, case.is_mirrored)
        for case, _, _ in wanted
        for network in BACKBONES[case.backbone]
        for part in (0, 1)
    }
    for store in sorted(stores):
        results.make_store(*store)
    failed = []
    with ThreadPoolExecutor(args.jobs) as pool:
        for job in [pool.submit(results.run, *one) for one in wanted]:
            try:
                job.result()
            except (RuntimeError, LookupError) as error:
                failed.append(str(error))
    head = Path(__file__).with_name("results_head.md").read_text(encoding="utf-8")
    tables = [line for case in cases() for line in results.table(case)]
    args.table.write_text(head + "\n" + "\n".join(tables), encoding="utf-8")
    for error in failed:
        print("failed:", error)
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
