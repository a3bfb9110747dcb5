"""TLS towards an endpoint: verified, unless told otherwise in so many words."""

import ssl

from busduct.errors import ConfigError


def tls_context(*, ca_file: str | None, insecure: bool) -> ssl.SSLContext:
    """Return what connections to an ``https://`` endpoint are made with.

    Args:
        ca_file: Certificates to trust, as PEM; None for those that the system trusts.
        insecure: Verify neither the certificate nor the host's name.

    Raises:
        ConfigError: A file that cannot be read or holds no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        msg = f"ca_file {ca_file!r} cannot be used: {error}"
        raise ConfigError(msg) from error
    context.set_alpn_protocols(["http/1.1"])
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
