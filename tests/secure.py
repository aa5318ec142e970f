"""Apache Kafka as clusters are run: TLS, and whoever comes has to say who they are, by PLAIN, SCRAM or OAUTHBEARER.

One broker. Its plain listener stays for whoever sets it up; `secured` is the other one's address.
"""

import subprocess

from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from stream.demo.broker import free_port
from tests.brokers import ApacheKafka, admin

USER, PASSWORD = "firstclick", "not-for-anybodys-eyes"
LOGIN = "org.apache.kafka.common.security"
STORE = "changeit"


class SecureKafka(ApacheKafka):
    """One broker with a second listener that speaks SASL over TLS."""

    def __init__(self) -> None:
        self._port = free_port()
        super().__init__()
        client: AdminClient = admin(self.bootstrap)
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        for future in client.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(USER, scram, PASSWORD.encode())]
        ).values():
            future.result(20)

    @property
    def secured(self) -> str:
        """The listener's address."""
        return f"127.0.0.1:{self._port}"

    @property
    def certificate(self) -> str:
        """Path of the broker's own certificate, which nobody else has signed."""
        return str(self.folder / "broker.pem")

    def more(self) -> dict[str, object]:
        store = self.folder / "broker.p12"
        told = ["-keystore", str(store), "-storepass", STORE, "-storetype", "PKCS12", "-alias", "broker"]
        made = ["-genkeypair", "-keyalg", "EC", "-dname", "CN=broker", "-ext", "san=ip:127.0.0.1", "-validity", "2"]
        subprocess.run(["keytool", *made, *told], check=True, capture_output=True)
        subprocess.run(
            ["keytool", "-exportcert", "-rfc", "-file", self.certificate, *told], check=True, capture_output=True
        )
        client, control = self.ports[1]
        ours = "listener.name.secured"
        return {
            "listeners": f"CLIENTS://127.0.0.1:{client},SECURED://{self.secured},CONTROL://127.0.0.1:{control}",
            "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROL:PLAINTEXT,SECURED:SASL_SSL",
            f"{ours}.ssl.keystore.location": store,
            f"{ours}.ssl.keystore.password": STORE,
            f"{ours}.ssl.keystore.type": "PKCS12",
            f"{ours}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512,OAUTHBEARER",
            f"{ours}.plain.sasl.jaas.config": f'{LOGIN}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";',
            f"{ours}.scram-sha-512.sasl.jaas.config": f"{LOGIN}.scram.ScramLoginModule required;",
            # Without a validator named, it takes tokens that nobody has signed: good for tests alone.
            f"{ours}.oauthbearer.sasl.jaas.config": f"{LOGIN}.oauthbearer.OAuthBearerLoginModule required "
            'unsecuredLoginStringClaim_sub="broker";',
        }
