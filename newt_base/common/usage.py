"""The text of --help: usage, presets, and every setting with its default and meaning."""

from .settings import comments, settable, shown


def usage(package, config):
    """The text for the trainer of `package`, whose module of settings is `config`."""
    lines = [
        f"usage: python -m {package}.train [name=value ...]",
        f"   eg: python -m {package}.train task=cartpole-swingup preset=cpu seed=1",
        "",
        "presets (preset=NAME; settings given by name win over it):",
    ]
    for name, values in config.PRESETS.items():
        lines.append(f"  {name:<14}{config.PRESET_HELP.get(name, '')}")
        lines.append(f"  {'':<14}{' '.join(f'{key}={value}' for key, value in values.items())}")
    lines += ["", "settings:"]
    meanings = comments(config.Config)
    for name, field in settable(config.Config).items():
        lines.append(f"  {name + '=' + shown(field.default):<32}{meanings.get(name, '')}")
    return "\n".join(lines) + "\n"
