"""A mail server for the tests, on aiosmtpd: prints its port, and then each mail that it takes, as lines of JSON.

    mail_server.py PORT [accept | refuse | hang]
"""

import asyncio
import email
import email.policy
import json
import sys

from aiosmtpd.smtp import SMTP


class Handler:
    def __init__(self, manner):
        self.manner = manner

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.manner == "refuse":
            return f"550 5.1.1 no mailbox {address} here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.manner == "hang":
            await asyncio.Event().wait()
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
        headers = [[name, str(value)] for name, value in mail.items()]
        print(json.dumps({"to": envelope.rcpt_tos, "headers": headers, "parts": parts}), flush=True)
        return "250 OK"


async def main():
    port, manner = int(sys.argv[1]), sys.argv[2]
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(Handler(manner)), "127.0.0.1", port)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


asyncio.run(main())
