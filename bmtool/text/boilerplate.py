"""Lines that are nothing but what web pages put around their text."""

import re

_NAVIGATION = "加入收藏|打印本页|关闭窗口|设为首页|网站地图|联系我们|关于我们|返回顶部|回到顶部|返回首页|返回列表|用户协议|隐私政策"
_BOILERPLATE = re.compile(
    rf"(?:(?:{_NAVIGATION})[ |·/、【】\[\]]*)+"
    "|(?:点击|阅读|查看|展开|收起)(?:此处|这里)?(?:查看|阅读|进入)?(?:全文|原文|更多|详情)(?:>>|»|…)?"
    "|[上下]一[篇页条](?:[:：].{0,60})?"
    "|(?:相关(?:阅读|新闻|推荐|链接|文章)|原文链接|热门推荐|猜你喜欢|延伸阅读|版权声明|免责声明)[:：]?"
    "|(?:(?:责任|本文|值班)?编辑|责编|来源|作者|校对|摄影)[:：][^，。？！；,?!;]{0,20}"
    "|版权所有.{0,40}|(?:Copyright|COPYRIGHT|copyright|©).{0,80}|.{0,20}[Aa]ll [Rr]ights [Rr]eserved.{0,20}"
    "|.{0,30}(?:ICP备|公网安备).{0,30}"
    "|(?:未经(?:授权|许可|允许)[,，]?)?(?:请勿|不得|严禁|禁止|谢绝)(?:擅自)?转载.{0,10}|.{0,10}转载请(?:注明|标明).{0,20}"
    "|请?(?:微信)?(?:扫码|扫一扫|扫描?(?:下方|上方)?二维码|长按(?:识别)?(?:下方)?二维码)(?:即可)?(?:关注|下载|加入)(?:我们|.{0,4}公众号)?"
    "|(?:分享|转发)到[:：]?(?:[ 、|]|微信|微博|朋友圈|QQ空间|QQ好友)*"
)
_AROUND = " 【】[]()（）<>《》|·*#-—_.。!！…"


def is_boilerplate(line: str) -> bool:
    """Whether a line is nothing but what web pages put around their text: navigation, credits, copyright, "share", "scan the code"."""
    return _BOILERPLATE.fullmatch(line.strip(_AROUND)) is not None
