"""Settings of single models."""

from modelcast.infra.settings_section import Section


class ModelSettings(Section):
    """How the publications of one model reach its pods from here, where nothing else is said."""

    rollout: str = ""  # a strategy, as in canary; "": they are served at once
    steps: str = ""  # as in 1,10@1h,50!,100
    waves: str = ""  # as in eu;us,ap
    key: str = ""  # as in header:x-user
    rollout_only: bool = False  # refuse to have a version served that did not earn its traffic
