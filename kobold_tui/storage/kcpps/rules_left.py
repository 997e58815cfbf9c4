"""The keys of KoboldCpp that no preset takes over, with the reason."""

from __future__ import annotations

from typing import Any

from kobold_tui.domain.preset_report import KeyStatus
from kobold_tui.storage.kcpps.rule import Rule


def _unsupported(key: str, note: str, *neutral: Any) -> Rule:
    return Rule(key, "unsupported", "", note, neutral)


def _ignored(key: str, note: str, *neutral: Any) -> Rule:
    return Rule(key, "ignored", "", note, neutral)


def _refused(key: str, note: str) -> Rule:
    return Rule(key, "refused", "", note)


def _secret(key: str) -> Rule:
    return Rule(key, "refused", "", "A secret; a preset is a file that others may read.", secret=True)


def _all(fate: KeyStatus, note: str, keys: str) -> tuple[Rule, ...]:
    return tuple(Rule(key, fate, "", note, _USUAL.get(key, ())) for key in keys.split())


_USUAL: dict[str, tuple[Any, ...]] = {
    "rpcmode": ("disabled",),
    "rpcport": (5551,),
    "rpchost": ("0.0.0.0",),  # noqa: S104 - a default to recognise, nothing is bound
    "sdclipdevice": (-2,),
    "sdconvdirect": ("off",),
    "sdloramult": (1.0, [1.0]),
    "sdmaingpu": (-1,),
    "sdtiledvae": (640, 768),
    "sdvaedevice": (-1,),
    "ttsmaxlen": (4096,),
    "OpenLumara_requirelogin": (True,),
}

SECRETS = tuple(_secret(key) for key in ("password", "adminpassword", "hordekey"))

DANGEROUS = (
    _refused("onready", "A shell command; nothing in a preset starts programs."),
    _refused("allow_config_onready", "Would allow a shell command in a file."),
    _refused("remotetunnel", "Would fetch a program and open this machine to the internet."),
    _refused("mcpfile", "Would start the programs that the file names."),
)

MODEL = (
    _unsupported("swapadding", "llama.cpp has no such padding."),
    _unsupported("noshift", "The context shifts where the model allows it."),
    _unsupported("nofastforward", "What a prompt shares with the one before is always reused."),
    _unsupported(
        "smartcache", "Every slot keeps its conversation's cache; load.n_seq_max sets their number."
    ),
    _ignored("smartcontext", "Superseded by context shift."),
    _unsupported("useclblast", "llama.cpp has dropped OpenCL."),
    _unsupported("ffncpu", "load.override_tensors can keep single tensors in RAM."),
    _ignored("nommq", "A matter of how llama.cpp was built."),
    _ignored("pipelineparallel", "Dead: KoboldCpp itself no longer reads it."),
    _unsupported("enableguidance", "There is no negative prompt."),
    _unsupported("draftmodel", "Guesses come from the prompt instead: load.n_draft."),
    _ignored("draftamount", "Belongs to a draft model.", 8, 4),
    _ignored("draftgpulayers", "Belongs to a draft model.", 999),
    _ignored("draftgpusplit", "Belongs to a draft model."),
    _unsupported("usemtp", "Guesses come from the prompt instead: load.n_draft."),
    _unsupported("visionmaxres", "Pictures keep their size.", 1024),
    _unsupported("visionmintokens", "The projector decides.", -1),
    _unsupported("visionmaxtokens", "The projector decides.", -1),
    _ignored("jinja_stream_toolcall", "Of a fork alone."),
    _unsupported("gendefaultsoverwrite", "What a request asks for beats the preset."),
    _unsupported("preloadstory", "Conversations are no part of a preset."),
)

SERVER = (
    _ignored("host", "Presets hold no server."),
    _ignored("admin", "Models are switched while the program runs."),
    _ignored("admindir", "Its presets are listed with --presets-dir DIR."),
    _ignored("routermode", "Presets hold no server."),
    _ignored("autoswapmode", "Several models can be loaded side by side."),
    _unsupported("baseconfig", "Import that file too, and name its preset after `extends`."),
    _ignored("reqtimeout", "Presets hold no server.", 600),
    _ignored("multiuser", "Presets hold no server.", 10, 1, True),
    _ignored("maxrequestsize", "Presets hold no server.", 32),
    _ignored("ratelimit", "Presets hold no server."),
    _ignored("ssl", "Presets hold no server."),
    _ignored("singleinstance", "Any number of copies may run."),
    _ignored("savedatafile", "Conversations are stored by themselves."),
    _ignored("downloaddir", "Its models are listed with --models-dir DIR."),
    _ignored("ignoremissing", "A missing file is always reported."),
    _ignored("quiet", "Prompts are never logged."),
    _ignored("debugmode", "Every model has a log of its own."),
    _ignored("cli", "`kobold-tui --cli` chats in plain text."),
    _ignored("config", "Never part of such a file."),
    _ignored("prompt", "`kobold-tui chat -p TEXT` answers one prompt."),
    _ignored("benchmark", "No preset holds a measurement."),
    _unsupported("multiplayer", "There are no shared sessions."),
    _unsupported("websearch", "Nothing is searched on the web."),
)

OF_ITS_PROGRAM = _all(
    "ignored",
    "About KoboldCpp's own program.",
    "launch showgui skiplauncher nocertify highpriority foreground noavx2 failsafe forceversion "
    "unpack version analyze exportconfig exporttemplate testmemory",
)

OLD = _all(
    "ignored",
    "Dead: KoboldCpp dropped it years ago.",
    "linearrope stream unbantokens bantokens usemirostat psutil_set_threads",
)

REMOTE = _all(
    "unsupported", "Models run on this machine's cards.", "rpcmode rpctargets rpcport rpchost rpcdevice"
)

IMAGES = _all(
    "unsupported",
    "Pictures are not made here.",
    "sdaudiovae sdclamped sdclampedsoft sdclip1 sdclip2 sdclipdevice sdconvdirect sdflashattention sdlora "
    "sdloramult sdmaingpu sdmodel sdoffloadcpu sdphotomaker sdquant sdt5xxl sdthreads sdtiledvae sdupscaler "
    "sdvae sdvaeauto sdvaedevice sdvramlimit sdconfig sdnotile sdvaecpu sdclipgpu sdclipl sdclipg",
)

SOUND = _all(
    "unsupported",
    "Speech and music are not made here.",
    "whispermodel ttsmodel ttswavtokenizer ttsgpu ttsmaxlen ttsthreads ttsdir musicllm musicembeddings "
    "musicdiffusion musicvae musiclowvram",
)

HORDE = _all(
    "unsupported",
    "This machine's models serve nobody else.",
    "hordemodelname hordeworkername hordemaxctx hordegenlen hordeconfig",
)

FORK = _all(
    "ignored",
    "Of a fork alone.",
    "fsmaxsize fsdir fsdirect tmpfsmaxsize tmpfsdir tmpfsdirect developerMode admintextmodelsdir "
    "admindatadir admindocsdir adminallowhf autoswapmode_skiptextunload autoswapmode_skipsstunload "
    "autoswapmode_skipttsunload autoswapmode_skipembedunload autoswapmode_skipmusicunload "
    "autoswapmode_skipimageunload OpenLumara OpenLumara_TemporaryMode OpenLumara_configfile "
    "OpenLumara_datadir OpenLumara_sandboxfolder OpenLumara_apiurl OpenLumara_requirelogin",
)

LEFT = (*SECRETS, *DANGEROUS, *MODEL, *SERVER, *OF_ITS_PROGRAM, *OLD, *REMOTE, *IMAGES, *SOUND, *HORDE, *FORK)
