"""Certificates of a company's own, a TLS front for a plain server, and a proxy that tunnels (CONNECT)."""

import socket
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.network.tcp_front import TcpFront, address_of, pump_both

CLIENT_KEY_PASSWORD = "the password of the client's key"


def make_authority(folder: Path) -> tuple[Path, Path]:
    """Make a CA and a certificate of it for 127.0.0.1 and localhost; and, beside them, one for a client.

    Returns:
        The CA's certificate, and the server's certificate with its key. The CA has no extensions but the one that it
        needs, as those of companies do. ``client.pem`` and the encrypted ``client.key`` lie in ``folder``, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Company CA {folder.name}")])
    now = datetime.now(UTC)

    def builder(subject: x509.Name) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=2))
        )

    basic = x509.BasicConstraints(ca=True, path_length=None)
    authority = (
        builder(ca_name)
        .public_key(ca_key.public_key())
        .add_extension(basic, critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    server = (
        builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "store")]))
        .public_key(key.public_key())
        .add_extension(names, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    client_key = ec.generate_private_key(ec.SECP256R1())
    client_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a client")])
    client = builder(client_name).public_key(client_key.public_key()).sign(ca_key, hashes.SHA256())
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "ca.pem").write_bytes(authority.public_bytes(pem))
    private = key.private_bytes(pem, pkcs8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(server.public_bytes(pem) + private)
    (folder / "client.pem").write_bytes(client.public_bytes(pem))
    encrypted = serialization.BestAvailableEncryption(CLIENT_KEY_PASSWORD.encode())
    (folder / "client.key").write_bytes(client_key.private_bytes(pem, pkcs8, encrypted))
    return folder / "ca.pem", folder / "server.pem"


class TlsFront(TcpFront):
    """Speaks TLS with clients and passes their bytes on to a plain server."""

    def __init__(self, endpoint_url: str, certificate: Path) -> None:
        super().__init__()
        self._target = address_of(endpoint_url)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self.endpoint_url = f"https://127.0.0.1:{self.port}"

    def serve(self, connection: socket.socket) -> None:
        with (
            self._context.wrap_socket(connection, server_side=True) as client,
            socket.create_connection(self._target) as server,
        ):
            pump_both(client, server)


class TunnelProxy(TcpFront):
    """An HTTP proxy that only tunnels. ``asked``: the hosts that it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.port}"

    def serve(self, connection: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (byte := connection.recv(1)):
                return
            head += byte
        method, target, _ = head.split(b" ", 2)
        self.asked.append(target.decode())
        if method != b"CONNECT":
            connection.sendall(b"HTTP/1.1 405 Only CONNECT\r\nContent-Length: 0\r\n\r\n")
            return
        host, _, port = target.decode().rpartition(":")
        with socket.create_connection((host, int(port))) as server:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            pump_both(connection, server)
