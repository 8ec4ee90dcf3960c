"""How a conversation becomes a prompt, per release: Meta's downloads hold no chat template.

Written from Meta's descriptions of its prompts. Tools are not rendered here: vLLM is started
with a template of its own where a server offers tools.
"""

from __future__ import annotations

_HEADER = (
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'"
    " + message['content'] | trim + '<|eot_id|>' }}"
)
_LLAMA_3 = (
    "{{ bos_token }}"
    "{% for message in messages %}" + _HEADER + "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
    "{% endif %}"
)
# 3.1 answers of a tool come from the role "ipython".
_LLAMA_31 = _LLAMA_3.replace(
    "message['role']", "('ipython' if message['role'] == 'tool' else message['role'])"
)
# The system text is part of the first question; each exchange is a sequence of its own.
_LLAMA_2 = (
    "{% if messages[0]['role'] == 'system' %}"
    "{% set system = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}"
    "{% set rest = messages[1:] %}"
    "{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}"
    "{% for message in rest %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate: user, assistant, user, ...') }}"
    "{% elif message['role'] == 'user' %}"
    "{% set text = (system if loop.first else '') + message['content'] | trim %}"
    "{{ bos_token + '[INST] ' + text + ' [/INST]' }}"
    "{% else %}"
    "{{ ' ' + message['content'] | trim + ' ' + eos_token }}"
    "{% endif %}"
    "{% endfor %}"
)
_CODE_70B = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ 'Source: ' + message['role'] + '\\n\\n ' + message['content'] | trim + ' <step> ' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ 'Source: assistant\\nDestination: user\\n\\n ' }}"
    "{% endif %}"
)
TEMPLATES = {
    "llama2": _LLAMA_2,
    "llama3": _LLAMA_3,
    "llama3.1": _LLAMA_31,
    "code-70b": _CODE_70B,
}
