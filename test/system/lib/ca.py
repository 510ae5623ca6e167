"""Certificates no honest CA would make, signed with a hub's own development CA or another one."""

import datetime
import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.utcnow()
DAY = datetime.timedelta(days=1)


class Ca:
    """`pki`: the folder of a hub, whose CA is used; without it a CA of its own."""

    def __init__(self, folder, pki=None):
        self.folder = folder
        if pki:
            with open(os.path.join(pki, "ca.key"), "rb") as file:
                self.key = serialization.load_pem_private_key(file.read(), None)
            with open(os.path.join(pki, "ca.crt"), "rb") as file:
                self.name = x509.load_pem_x509_certificate(file.read()).subject
        else:
            self.key = ec.generate_private_key(ec.SECP256R1())
            self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "another CA")])

    def issue(self, cn, unit="bike", before=NOW - DAY, after=NOW + 30 * DAY,
              usage=ExtendedKeyUsageOID.CLIENT_AUTH, hosts=(), is_ca=False):
        """Paths of a certificate and its key; `cn` may be None or a list of several."""
        names = cn if isinstance(cn, list) else [cn] if cn is not None else []
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names]
        if unit:
            subject.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (x509.CertificateBuilder().subject_name(x509.Name(subject))
                   .issuer_name(self.name).public_key(key.public_key())
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(before).not_valid_after(after)
                   .add_extension(x509.BasicConstraints(is_ca, None), True)
                   .add_extension(x509.KeyUsage(True, *[False] * 8), True))
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(
                [x509.DNSName(host) for host in hosts]), False)
        certificate = builder.sign(self.key, hashes.SHA256())
        path = os.path.join(self.folder, "%x" % certificate.serial_number)
        with open(path + ".crt", "wb") as file:
            file.write(certificate.public_bytes(serialization.Encoding.PEM))
        with open(os.open(path + ".key", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(key.private_bytes(serialization.Encoding.PEM,
                                         serialization.PrivateFormat.PKCS8,
                                         serialization.NoEncryption()))
        return path + ".crt", path + ".key"


def client_context(pki, certificate=None, key=None):
    """A client that checks the hub's certificate and shows its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(os.path.join(pki, "ca-bundle.crt"))
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


def context_of(hub, kind, name):
    """For the certificate that `freehub` made: `kind` is "bikes" or "services"."""
    pki = os.path.join(hub.data, "pki")
    path = os.path.join(pki, kind, name)
    return client_context(pki, path + ".crt", path + ".key")
