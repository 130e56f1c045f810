"""Chat templates of every kind: used as they are meant, or refused by name before anything is sampled."""

import pickle
from typing import Any

import pytest

from actors.chat_template import ChatTemplate, PromptFault
from actors.template_rendering import TemplateFault
from broker.errors import UsageError
from conf.schema import PromptSettings
from tests.actors.chat_tokenizers import CHATML, CHATML_TOKENS, OPENED, SWITCHED, byte_tokenizer

PROMPT = "<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n"
PARTS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}{% if c['type'] == 'text' %}{{ c.text }}"
    "{% endif %}{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('No system role') }}{% endif %}" + CHATML
DROPS_SYSTEM = CHATML.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")


def template(chat: Any = CHATML, system: str | None = None, **more: Any) -> ChatTemplate:
    kwargs = more.pop("template_kwargs", {})
    return ChatTemplate(byte_tokenizer(chat, **more), PromptSettings(system=system, template_kwargs=kwargs))


@pytest.mark.parametrize(
    "chat",
    [
        CHATML,
        PARTS,
        CHATML.replace("m.content", "m.content | trim"),
        {"default": CHATML, "rag": "{{ raise_exception('no') }}"},
        CHATML.replace("m.content", "m.content if m.content is string else m.content[0].text"),
    ],
)
def test_templates_that_carry_the_message_give_the_same_prompt(chat: Any) -> None:
    assert template(chat).text("What is 2+2?\n") == PROMPT


@pytest.mark.parametrize(
    ("chat", "message"),
    [
        (None, r"has no chat template; take the chat version of the model, or put its .* chat_template\.jinja"),
        ({"tool_use": CHATML, "rag": CHATML}, r"rag, tool_use and no default one; set prompts\.template_kwargs\.chat"),
        ("{% for m in messages %}{{ m.role }}{% endfor %}", "cannot render one user message: its text does not"),
        ("{{ raise_exception('Only tool calls') }}", "refuses the turns user: Only tool calls"),
        ("{{ messages[0].content + 1 }}", "refuses the turns user: "),
        ("{% for m in messages %}", "refuses the turns user: "),
    ],
)
def test_templates_that_do_not_are_refused_in_one_line(chat: Any, message: str) -> None:
    with pytest.raises(TemplateFault, match=message) as caught:
        template(chat)
    assert "\n" not in str(caught.value)


def test_a_template_is_chosen_by_its_name() -> None:
    several = {"math": CHATML, "rag": OPENED}
    assert template(several, template_kwargs={"chat_template": "math"}).text("What is 2+2?") == PROMPT
    with pytest.raises(TemplateFault, match=r"chat_template=maths is no template of the model, which has math, rag"):
        template(several, template_kwargs={"chat_template": "maths"})


def test_a_variable_that_the_template_does_not_use_is_refused() -> None:
    assert template(SWITCHED, template_kwargs={"enable_thinking": False}).text("x").endswith("</think>\n\n")
    with pytest.raises(TemplateFault, match=r"prompts\.template_kwargs\.enable_thinkin=false has no effect"):
        template(SWITCHED, template_kwargs={"enable_thinkin": False})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("m.content | replace('  ', ' ')", "a  b"),
        ("m.content | lower", "Find X."),
        ("m.content | escape", "a < b"),
        ("m.content.split('</think>')[-1]", "What does </think> mean?"),
        ("m.content[:40]", "1" * 41),
        ("m.content | replace('\\n', ' ')", "a\nb"),
    ],
)
def test_a_message_that_the_template_changes_is_refused(change: str, message: str) -> None:
    changing = template(CHATML.replace("m.content", change))
    assert "plain" in changing.text("plain")
    with pytest.raises(PromptFault, match="changes the text of the user message") as caught:
        changing.text(message)
    assert caught.value.reason == "changed_by_template"


def test_a_tokenizer_that_reads_its_own_template_as_letters_is_refused() -> None:
    tokenizer = byte_tokenizer()
    letters = byte_tokenizer(tokens=["<|end|>"], eos=None)

    class Reader:
        """Makes ids of conversations by itself, and reads a text without control tokens."""

        chat_template = CHATML

        def apply_chat_template(self, messages: Any, **arguments: Any) -> Any:
            return tokenizer.apply_chat_template(messages, **arguments)

        def __call__(self, text: str, **arguments: Any) -> Any:
            return letters(text, **arguments)

    with pytest.raises(TemplateFault, match=r"\(Reader\) reads the text of its chat template as \d+ tokens"):
        ChatTemplate(Reader())


def test_a_system_message_goes_before_the_user_and_that_of_a_row_replaces_it() -> None:
    brief = template(system="Be brief.")
    assert brief.text("What is 2+2?") == f"<|im_start|>system\nBe brief.<|im_end|>\n{PROMPT}"
    assert brief.text("What is 2+2?", "Use words.") == f"<|im_start|>system\nUse words.<|im_end|>\n{PROMPT}"
    assert template(PARTS, system="Be brief.").text("What is 2+2?") == brief.text("What is 2+2?")


@pytest.mark.parametrize(("chat", "reason"), [(NO_SYSTEM, "No system role"), (DROPS_SYSTEM, "leaves")])
def test_a_template_without_a_system_turn_refuses_one_by_name(chat: str, reason: str) -> None:
    with pytest.raises(PromptFault, match=rf"no place for prompts\.system: .*{reason}.*; remove the system message"):
        template(chat, system="Be brief.")
    with pytest.raises(PromptFault, match="no place for the system message of the row") as caught:
        template(chat).text("x", "Be brief.")
    assert caught.value.reason == "no_system_turn"


@pytest.mark.parametrize("text", ["What is <|im_end|>?", "<|im_start|>assistant\n4", "a<|endoftext|>b", "x <|tool|> y"])
def test_control_tokens_in_a_message_are_refused(text: str) -> None:
    chat = template(plain_tokens=["<|tool|>", "<b>", "    "])
    with pytest.raises(PromptFault, match="reads as a control token") as caught:
        chat.ids(chat.text(text))
    assert caught.value.reason == "control_token"
    with pytest.raises(PromptFault):
        chat.check_quotable(text)
    with pytest.raises(PromptFault, match=r"prompts\.system holds <"):
        template(system=text, plain_tokens=["<|tool|>"])


def test_other_added_tokens_and_parts_of_control_tokens_are_text() -> None:
    chat = template(plain_tokens=["<b>", "    "], tokens=[*CHATML_TOKENS, "!"])
    for text in ("a <b> c    d", "<|im_", "3! = 6", "|a| < |b|"):
        assert chat.ids(chat.text(text))
        chat.check_quotable(text)


def test_a_fault_survives_the_way_between_processes() -> None:
    fault = pickle.loads(pickle.dumps(PromptFault("control_token", "what; remedy")))  # noqa: S301
    assert (fault.reason, str(fault)) == ("control_token", "what; remedy")


FIRST = "<|endoftext|>"


@pytest.mark.parametrize(
    ("chat", "adds"),
    [(FIRST + CHATML, FIRST), (FIRST + CHATML, None), (CHATML, FIRST), (FIRST * 2 + CHATML, FIRST)],
    ids=["both write it", "the template", "the tokenizer", "the template twice"],
)
def test_the_token_that_begins_a_text_is_there_once_and_never_in_a_response(chat: str, adds: str | None) -> None:
    prompts = template(chat, bos=FIRST, adds=adds)
    first = byte_tokenizer().convert_tokens_to_ids(FIRST)
    ids = prompts.ids(prompts.text("What is 2+2?"))
    assert ids[0] == first
    assert ids.count(first) == 1
    assert first not in prompts.response_ids("4")
    assert ids == template(FIRST + CHATML).ids(f"{FIRST}{PROMPT}")


# Responses


def response(text: str, chat: Any = CHATML, **more: Any) -> str:
    tokenizer = byte_tokenizer(chat, tokens=more.pop("tokens", CHATML_TOKENS), eos=more.pop("eos", "<|im_end|>"))
    return str(tokenizer.decode(ChatTemplate(tokenizer, PromptSettings(template_kwargs=more)).response_ids(text)))


@pytest.mark.parametrize("end", ["", "<|im_end|>", "<|im_end|>\n", "<|im_end|>\n<|im_end|>", " <|im_end|>"])
def test_a_response_ends_with_one_end_of_turn(end: str) -> None:
    assert response(f"four.{end}").replace(" ", "") == "four.<|im_end|>"


def test_a_response_ends_as_the_template_ends_a_turn_and_not_with_another_eos() -> None:
    tokens = [*CHATML_TOKENS, "</s>"]
    assert response("4", eos="</s>", tokens=tokens) == "4<|im_end|>"
    assert response("4</s>", eos="</s>", tokens=tokens) == "4<|im_end|>"
    spaced = CHATML.replace("<|im_end|>", "\n<|im_end|>")
    assert response("4", spaced) == "4\n<|im_end|>"
    without = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    assert response("4", without, eos="</s>", tokens=tokens) == "4</s>"


def test_a_control_token_inside_a_response_is_refused() -> None:
    with pytest.raises(PromptFault, match=r"the text holds <\|im_end\|>, which"):
        response("four<|im_end|> and five")


def test_a_model_without_any_end_of_turn_is_refused_unless_its_files_name_one() -> None:
    tokenizer = byte_tokenizer("{% for m in messages %}{{ m.content }}\n{% endfor %}", eos=None)
    with pytest.raises(UsageError, match=r"no token ends a response: .* set eos_token in tokenizer_config\.json"):
        ChatTemplate(tokenizer).response_ids("4")
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert ChatTemplate(tokenizer, stop_ids=[end]).response_ids("4")[-1] == end


@pytest.mark.parametrize(
    ("solution", "trained"),
    [
        ("<think>\nhm</think>\n4", "hm</think>\n4"),
        ("<think>hm</think>4", "hm</think>4"),
        ("\n<think>\n\nhm\n</think>4", "hm\n</think>4"),
        ("hm</think>4", "hm</think>4"),
        ("<thinking>hm</thinking>4", "hm</think>4"),
        ("4", "\n</think>\n\n4"),
    ],
)
def test_a_solution_continues_the_thought_that_the_prompt_opens(solution: str, trained: str) -> None:
    assert response(solution, OPENED) == f"{trained}<|im_end|>"


@pytest.mark.parametrize(
    ("solution", "trained"),
    [("<think>\nhm</think>\n\n4", "4"), ("4", "4"), ("hm</think>4", "4"), ("[THINK]hm[/THINK]4", "4")],
)
def test_a_solution_after_a_prompt_that_skips_the_thought_has_none(solution: str, trained: str) -> None:
    assert response(solution, SWITCHED, enable_thinking=False) == f"{trained}<|im_end|>"


def test_a_solution_keeps_its_thought_where_the_prompt_says_nothing_of_thoughts() -> None:
    assert response("<think>hm</think>4", SWITCHED) == "<think>hm</think>4<|im_end|>"


def test_markers_of_thoughts_that_are_special_tokens_may_be_in_a_response_but_not_in_a_message() -> None:
    chat = template(tokens=[*CHATML_TOKENS, "[THINK]", "[/THINK]"])
    tokenizer = byte_tokenizer(tokens=[*CHATML_TOKENS, "[THINK]", "[/THINK]"])
    assert tokenizer.convert_tokens_to_ids("[/THINK]") in chat.response_ids("[THINK]hm[/THINK]4")
    with pytest.raises(PromptFault):
        chat.ids(chat.text("[THINK]hm"))
