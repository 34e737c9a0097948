"""What of an RL run's config can be: `check_*` raise a ValueError that names the value and the remedy, before anything
is loaded; the others read a group of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
from ml_collections import ConfigDict

from m2jax import adapters
from m2jax.data.tasks import Task
from m2jax.models.config import ModelConfig
from m2jax.outside.endpoint import Endpoint
from m2jax.rollout import dynamic
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.dynamic import Rule
from m2jax.verifier.rubric import Case
from m2jax.weights import names
from m2jax.weights.load import read_config


def endpoints(config: ConfigDict) -> dict[str, Endpoint]:
    """The roles "judge" and "patient" where the config has them as endpoints. ValueError where that cannot be."""
    if config.judge.url and config.reward.unchecked == "skip":
        raise ValueError(
            "config.judge.url names a judge, but config.reward.unchecked='skip' asks none; drop one of them"
        )
    found = {}
    for name in ("judge", "patient"):
        group = config.get(name)
        if group is None:
            continue
        if group.url:
            found[name] = Endpoint(group.url, group.model, group.key_env, temperature=_temperature(config, name))
            found[name].headers()
        elif group.model or group.key_env:
            raise ValueError(
                f"config.{name}.url is empty, but config.{name}.model or key_env is not; give all, or none"
            )
    if "patient" in found and config.consult.adapter:
        raise ValueError(
            f"config.patient.url names a patient, and config.consult.adapter={config.consult.adapter!r} another; drop "
            "one of them"
        )
    return found


def _temperature(config: ConfigDict, name: str) -> float:
    """A judge says the same to the same, unless it votes; a patient speaks as one that is served here does."""
    return config.sampling.temperature if name == "patient" or config.judge.votes > 1 else 0.0


def dynamic_settings(config: ConfigDict, tokenizer: Tokenizer) -> dynamic.Settings | None:
    """Of config.dynamic; None where there are to be no dynamic criteria."""
    d, outside = config.dynamic, bool(config.judge.url)
    rule = Rule(d.admit, d.retire)
    role = "judge" if outside else verifier_role(config)
    made = dynamic.Settings(d.every, d.most, d.share, d.proposals, role, None if outside else tokenizer, rule)
    return made if d.every or d.proposals else None


def verifier_role(config: ConfigDict) -> str:
    """The role that judges, where no adapter and no endpoint does."""
    return "verifier" if config.verifier else "start"


def check_verifier(config: ConfigDict, cfg: ModelConfig) -> None:
    """Of config.verifier; cfg: the policy's shape."""
    if not config.verifier:
        return
    judges, patient = config.reward.unchecked == "judge" and not config.judge.url, config.get("patient")
    if not judges and not (patient and not patient.url):
        raise ValueError(
            f"config.verifier is {config.verifier!r}, but nothing is left for it to judge or to play; drop it"
        )
    if read_config(names.resolve(config.verifier)) != cfg:
        raise ValueError(
            f"config.verifier is {config.verifier!r}, whose shape is not that of config.model={config.model!r}; name a "
            "model of the same shape, or serve it as an endpoint (config.judge.url, config.patient.url)"
        )


def check_consult(config: ConfigDict) -> None:
    for key in ("rounds", "patient_tokens", "context_tokens"):
        if config.consult[key] < 1:
            raise ValueError(f"config.consult.{key} is {config.consult[key]}; it must be at least 1")
    if config.consult.session and config.grpo.vanilla:
        raise ValueError(
            "config.grpo.vanilla=True gives a reply one advantage, config.consult.session each turn its own; drop one "
            "of the two"
        )
    if not 0 <= config.consult.outcome <= 1:
        raise ValueError(f"config.consult.outcome is {config.consult.outcome}; give a share from 0 to 1")
    if not 0 <= config.consult.interrupted <= 1:
        raise ValueError(f"config.consult.interrupted is {config.consult.interrupted}; give a share from 0 to 1")
    if config.eval.cases < 1:
        raise ValueError(f"config.eval.cases is {config.eval.cases}; say how many held-out patients to measure on")
    _check_adapter("config.consult.adapter", config.consult.adapter, config)


def check_judge(config: ConfigDict) -> None:
    """Of config.judge.adapter and votes."""
    named, votes = config.judge.adapter, config.judge.votes
    if votes < 0 or (votes and config.reward.unchecked == "skip"):
        raise ValueError(
            f"config.judge.votes is {votes} where config.reward.unchecked is {config.reward.unchecked!r}; give 0, or "
            "more where it is 'judge'"
        )
    if votes > 1 and not config.sampling.temperature:
        raise ValueError(
            f"config.judge.votes is {votes}, but config.sampling.temperature is 0, at which all votes are the same; "
            "raise one, or lower the other to 1"
        )
    if named and (config.judge.url or config.reward.unchecked == "skip"):
        other = "config.judge.url another" if config.judge.url else "config.reward.unchecked='skip' asks none"
        raise ValueError(f"config.judge.adapter={named!r} names a judge, and {other}; drop one of them")
    _check_adapter("config.judge.adapter", named, config)


def _check_adapter(key: str, name: str, config: ConfigDict) -> None:
    model = config.verifier or config.model
    if not name:
        return
    if name not in adapters.shipped():
        known = ", ".join(adapters.shipped())
        raise ValueError(f"{key} is {name!r}; give none (the start weights play the role then) or one of {known}")
    if (of := adapters.card(name)["model"]) != model:
        raise ValueError(
            f"{key} is {name!r}, an adapter of {of}; the role's model is {model!r}: set config.verifier={of}, or "
            f"{key}='' (the start weights play the role then)"
        )


def check_dynamic(config: ConfigDict) -> None:
    """Of config.dynamic."""
    d, consult = config.dynamic, config.get("consult")
    for key in ("every", "proposals"):
        if d[key] < 0:
            raise ValueError(f"config.dynamic.{key} is {d[key]}; give a number, or 0 for none")
    if not d.every and not d.proposals:
        return
    if config.get("tasks"):
        raise ValueError("config.dynamic asks for dynamic criteria, but tasks are paid by rules; set its values to 0")
    if consult and consult.session:
        raise ValueError(
            "config.dynamic asks for dynamic criteria, which whole consultations do not take; set its values to 0, or "
            "train on slices: config.consult.session=False"
        )
    if d.every and (d.most < 1 or not 0 < d.share <= 1):
        raise ValueError(
            f"config.dynamic.most is {d.most} and share {d.share}; give at least 1, and a share of replies above 0"
        )
    if d.every and config.data.prompts_per_step < 4:
        raise ValueError(
            f"config.dynamic.every mines replies to different patients, of which config.data.prompts_per_step="
            f"{config.data.prompts_per_step} gives too few; give at least 4"
        )
    if d.proposals and consult:
        raise ValueError(
            "config.dynamic.proposals asks for criteria of single cases, but a slice of a consultation comes only "
            "once; set it to 0"
        )
    if d.proposals and config.reward.unchecked == "skip":
        raise ValueError("config.dynamic.proposals makes criteria for a judge, but config.reward.unchecked='skip'")


def check_watch(config: ConfigDict, heldout: Sequence[Case | Task]) -> None:
    """ValueError where there is to be a watch and cannot be one."""
    if not config.watch.every:
        return
    if config.reward.unchecked == "skip":
        raise ValueError(
            "config.watch.every asks for a watch on the judge, but config.reward.unchecked='skip' asks none"
        )
    if config.watch.cases < 2:
        raise ValueError(f"config.watch.cases is {config.watch.cases}; the judge is watched on at least 2")
    unknown = [
        case.id for case in heldout[: config.watch.cases] if not any(c.check and c.points > 0 for c in case.rubric)
    ]
    if unknown:
        raise ValueError(
            f"config.watch.every is {config.watch.every}, but held-out case {unknown[0]} has no positive criterion "
            "with a check to set the judge against; give it one, or set config.watch.every=0"
        )


def check_data(config: ConfigDict) -> None:
    """ValueError where the stage would pass over data that the config names."""
    what, unread = "", ()
    if config.get("consult"):
        session = config.consult.session  # what they come to is known of the clinic's conditions alone
        what = "whole consultations" if session else "the consultations of stage 3"
        unread = ("path", "clinic") if session else ("clinic",)
    elif config.get("tasks"):
        what, unread = "the tasks of stage 1", ("clinic",)
    for name in unread:
        if config.data[name]:
            raise ValueError(f"config.data.{name} is {config.data[name]!r}, but {what} are not made of it; drop it")
    if config.data.clinic < 0:
        raise ValueError(f"config.data.clinic is {config.data.clinic}; give how many cases of the clinic, or 0")


def check_batches(config: ConfigDict, mesh: jax.sharding.Mesh) -> None:
    split = mesh.shape["data"] * mesh.shape["fsdp"]
    for key in ("data.prompts_per_step", "eval.samples_per_prompt", "sampling.slots", "checkpoint.every"):
        group, name = key.split(".")
        if config[group][name] < 1:
            raise ValueError(f"config.{key} is {config[group][name]}; it must be at least 1")
    if config.grpo.micro_groups < 1 or config.grpo.micro_groups % split:
        raise ValueError(
            f"config.grpo.micro_groups is {config.grpo.micro_groups}; it must be a multiple of data x fsdp = {split} "
            "of the mesh"
        )
    if mesh.shape["context"] > 1 and not config.sampling.mesh:
        raise ValueError(
            f"config.mesh {tuple(config.mesh)} splits rows over context, where the sampler has no work to split: give "
            "config.sampling.mesh (data, fsdp, model)"
        )
    if config.data.refill < 0:
        raise ValueError(f"config.data.refill is {config.data.refill}; give the most extra draws of a step, or 0")
    if config.asynchronous and not config.grpo.tis_cap:
        raise ValueError(
            "config.asynchronous=True trains on replies of the weights one step before, but config.grpo.tis_cap is 0; "
            "give the cap of their importance weights, as 2.0"
        )
    if config.checkpoint.rollout_seconds < 0:
        raise ValueError(
            f"config.checkpoint.rollout_seconds is {config.checkpoint.rollout_seconds}; give seconds, or 0 for never"
        )
    if config.grpo.minibatches < 1 or config.steps < 1:
        raise ValueError(
            f"config.grpo.minibatches {config.grpo.minibatches} and config.steps {config.steps} must be at least 1"
        )
    if config.grpo.row_samples < 0 or config.data.samples_per_prompt % (config.grpo.row_samples or 1):
        raise ValueError(
            f"config.grpo.row_samples {config.grpo.row_samples} must divide config.data.samples_per_prompt "
            f"{config.data.samples_per_prompt}; 0: all in one row"
        )
    if config.data.samples_per_prompt < 2:
        raise ValueError("config.data.samples_per_prompt must be at least 2: an advantage is against the group's mean")
