"""The formats of access tokens, as detect-secrets knows them, and a few it does not."""

from __future__ import annotations

import re
from functools import lru_cache

_PLUGINS = (
    "aws.AWSKeyDetector", "azure_storage_key.AzureStorageKeyDetector",
    "basic_auth.BasicAuthDetector", "discord.DiscordBotTokenDetector",
    "github_token.GitHubTokenDetector", "gitlab_token.GitLabTokenDetector",
    "ibm_cos_hmac.IbmCosHmacDetector", "jwt.JwtTokenDetector", "mailchimp.MailchimpDetector",
    "npm.NpmDetector", "openai.OpenAIDetector", "pypi_token.PypiTokenDetector",
    "sendgrid.SendGridDetector", "slack.SlackDetector", "square_oauth.SquareOAuthDetector",
    "stripe.StripeDetector", "telegram_token.TelegramBotTokenDetector", "twilio.TwilioKeyDetector",
)  # fmt: skip
"""Those whose pattern is a format. Left out: entropy and keyword guesses, which hit plain words."""

_MORE = (
    r"\bAIza[0-9A-Za-z_-]{35}\b",  # Google
    r"\bsk-(?:ant|proj|or|live|test)?-?[A-Za-z0-9_-]{20,}\b",
    r"\bhf_[A-Za-z0-9]{20,}\b",
    r"\bgithub_pat_[A-Za-z0-9_]{22,}\b",
    r"\bglpat-[A-Za-z0-9_-]{16,}\b",
    r"\bdo[opr]_v1_[a-f0-9]{40,}\b",
    r"\bnpm_[A-Za-z0-9]{36}\b",
    r"\bpypi-AgE[A-Za-z0-9_-]{40,}",
    r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b",
    r"\bdckr_pat_[A-Za-z0-9_-]{20,}\b",
    r"\b(?:sk|rk|pk|whsec)_(?:live|test)?_?[A-Za-z0-9]{20,}\b",
    r"\b(?:gsk|xai|r8|lin_api|figd|nvapi|tskey|rnd|fly|phc|sgp|ATATT)[_-]?[A-Za-z0-9_-]{28,}\b",
    r"\bxapp-[0-9]-[A-Za-z0-9-]{20,}\b",
    r"\b(?:AC|SK)[a-f0-9]{32}\b",
    r"\bxox[abposr]-[A-Za-z0-9-]{10,}\b",
    r"\bAGE-SECRET-KEY-1[A-Z0-9]{50,}\b",
    r"\bya29\.[A-Za-z0-9_-]{20,}\b",
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",  # JSON web token
    r"\b[0-9]{8,10}:[A-Za-z0-9_-]{35}\b",  # Telegram, inside a line
    r"\b[5KL][1-9A-HJ-NP-Za-km-z]{50,51}\b",  # Bitcoin private key
)


@lru_cache(maxsize=1)
def token_patterns() -> tuple[re.Pattern[str], ...]:
    """All patterns, compiled; the whole match is the secret."""
    import importlib

    patterns = [re.compile(source) for source in _MORE]
    for name in _PLUGINS:
        module, _, cls = name.partition(".")
        detector = getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), cls)()
        patterns += [
            re.compile(item.pattern, item.flags | re.MULTILINE) for item in detector.denylist
        ]
    return tuple(patterns)
